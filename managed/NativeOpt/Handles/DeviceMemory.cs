using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Copies between a device's memory and the host's.</summary>
internal static unsafe class DeviceMemory
{
    /// <summary>Copies in stream order and waits, so that the host's side may move or be read on return.</summary>
    public static void CopyAndWait(Device device, void* destination, void* source, long bytes, DeviceStream stream)
    {
        nopt_backend backend = device.NativeBackend;
        void* order = (void*)stream.Pointer;
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_memory_copy(backend, device.Index, destination, source, bytes, order));
        NativeError.ThrowIfFailed(NativeMethods.nopt_stream_synchronize(backend, device.Index, order));
        stream.KeepAlive();
    }
}
