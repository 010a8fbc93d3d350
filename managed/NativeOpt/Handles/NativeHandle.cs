using System.Runtime.InteropServices;

namespace NativeOpt;

/// <summary>
/// Owns a native object. It is released when it was disposed of (or finalized) and no <see cref="HandleLease"/> and no
/// other handle needs it any more.
/// </summary>
internal abstract class NativeHandle : SafeHandle
{
    private volatile bool _isDisposed;

    private protected NativeHandle()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>Unlike <see cref="SafeHandle.IsClosed"/> true from <c>Dispose</c> on, even if the release has to wait.</summary>
    public bool IsDisposed => _isDisposed;

    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        WaitForSteps();
        base.Dispose(disposing);
    }

    /// <summary>Returns when nothing uses the object without a lease that counts.</summary>
    private protected virtual void WaitForSteps()
    {
    }
}
