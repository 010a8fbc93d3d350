namespace NativeOpt;

/// <summary>
/// Keeps a native object alive for the length of a call, even if its owner is disposed of or finalized meanwhile.
/// </summary>
internal readonly ref struct HandleLease
{
    private readonly NativeHandle _handle;

    public HandleLease(NativeHandle handle, object owner)
    {
        ObjectDisposedException.ThrowIf(handle.IsDisposed, owner);
        bool added = false;
        handle.DangerousAddRef(ref added);
        _handle = handle;
    }

    public nint Pointer => _handle.DangerousGetHandle();

    public void Dispose() => _handle.DangerousRelease();
}
