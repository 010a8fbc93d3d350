using System.Runtime.InteropServices;

namespace NativeOpt;

/// <summary>
/// Owns a native object. It is released when it was disposed of (or finalized) and no <see cref="HandleLease"/>, no
/// <see cref="StepLease"/> and no other handle needs it any more.
/// </summary>
internal abstract class NativeHandle : SafeHandle
{
    private const int Free = 0;
    private const int Stepping = 1;
    private const int Closed = 2;

    private volatile bool _isDisposed;
    private int _steps = Free;

    private protected NativeHandle()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>Unlike <see cref="SafeHandle.IsClosed"/> true from <c>Dispose</c> on, even if the release has to wait.</summary>
    public bool IsDisposed => _isDisposed;

    /// <summary>Begins a step, if no other one is on its way and the object is not disposed of.</summary>
    public bool TryBeginStep() => Interlocked.CompareExchange(ref _steps, Stepping, Free) == Free;

    /// <summary>After <see cref="TryBeginStep"/>.</summary>
    public void EndStep() => Volatile.Write(ref _steps, Free);

    /// <summary>Waits for a step that another thread is in.</summary>
    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        SpinWait wait = default;
        while (Interlocked.CompareExchange(ref _steps, Closed, Free) == Stepping)
        {
            wait.SpinOnce();
        }

        base.Dispose(disposing);
    }
}
