namespace NativeOpt;

/// <summary>
/// Keeps an optimizer alive for the length of a step, which is one at a time: its handle's disposal waits for it. One locked
/// instruction, where <see cref="HandleLease"/> takes two.
/// </summary>
internal readonly ref struct StepLease
{
    private readonly OptimizerHandle _handle;

    public StepLease(OptimizerHandle handle, object owner)
    {
        if (!handle.TryBeginStep())
        {
            ObjectDisposedException.ThrowIf(handle.IsDisposed, owner);
            throw new ConcurrentUseException(
                "Another thread is in a step; a parameter set and its optimizer serve one thread at a time.");
        }

        _handle = handle;
    }

    public nint Pointer => _handle.DangerousGetHandle();

    public void Dispose() => _handle.EndStep();
}
