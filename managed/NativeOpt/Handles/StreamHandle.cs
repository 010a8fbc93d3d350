using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Owns a stream of a device. On CPU, which has none, the pointer is null.</summary>
internal sealed unsafe class StreamHandle : NativeHandle
{
    private readonly Device _device;

    public StreamHandle(Device device)
    {
        _device = device;
        void* stream = null;
        NativeError.ThrowIfFailed(NativeMethods.nopt_stream_create(device.NativeBackend, device.Index, &stream));
        SetHandle((nint)stream);
    }

    protected override bool ReleaseHandle() =>
        NativeMethods.nopt_stream_destroy(_device.NativeBackend, _device.Index, (void*)handle) == nopt_status.NOPT_OK;
}
