using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Owns memory of a device. Freeing it waits for the device's work, so no queued step loses its buffers.</summary>
internal sealed unsafe class MemoryHandle : NativeHandle
{
    private readonly Device _device;

    private MemoryHandle(Device device, long byteCount)
    {
        _device = device;
        ByteCount = byteCount;
    }

    /// <summary>What the library was asked for.</summary>
    public long ByteCount { get; }

    /// <summary>Allocates bytes that are 0 on return, whichever stream uses them first.</summary>
    public static MemoryHandle AllocateZeroed(Device device, long bytes)
    {
        // Filled as whole floats, whatever it is for.
        long floats = (bytes / sizeof(float)) + (bytes % sizeof(float) == 0 ? 0 : 1);
        MemoryHandle memory = new(device, floats * sizeof(float));
        void* pointer = null;
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_memory_alloc(device.NativeBackend, device.Index, memory.ByteCount, &pointer));
        memory.SetHandle((nint)pointer);
        try
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_memory_fill(
                    device.NativeBackend, device.Index, pointer, floats, nopt_dtype.NOPT_DTYPE_FLOAT32, 0, null));
            DeviceStream.Default.Synchronize(device);
        }
        catch
        {
            memory.Dispose();
            throw;
        }

        return memory;
    }

    protected override bool ReleaseHandle() =>
        NativeMethods.nopt_memory_free(_device.NativeBackend, _device.Index, (void*)handle) == nopt_status.NOPT_OK;
}
