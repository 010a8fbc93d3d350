using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// Owns a native dimer, its claim on the parameter set, and its buffers. Keeps the optimizer's handle, so that a dimer that
/// nobody disposed of is finalized in any order.
/// </summary>
internal sealed unsafe class DimerHandle : NativeHandle
{
    private readonly ParameterSetHandle _set;
    private readonly OptimizerHandle _optimizer;

    /// <param name="parameters">The optimizer's set.</param>
    /// <param name="optimizer">The optimizer's handle.</param>
    /// <param name="pointer">The native optimizer; alive for the length of the call.</param>
    /// <param name="scope">What one direction spans.</param>
    public DimerHandle(ParameterSet parameters, OptimizerHandle optimizer, nint pointer, nopt_dimer_scope scope)
    {
        _set = parameters.Handle;
        _optimizer = optimizer;
        Buffers = new BoundBuffers(_set);
        if (!_set.TryClaimDimer(this))
        {
            throw new InvalidOperationException(
                "The parameter set already has a dimer, which owns its direction. Dispose of that one first.");
        }

        nopt_dimer* dimer = null;
        nopt_status status = NativeMethods.nopt_dimer_create((nopt_optimizer*)pointer, scope, &dimer);
        if (status != nopt_status.NOPT_OK)
        {
            _set.UnclaimDimer();
            NativeError.ThrowIfFailed(status);
        }

        bool added = false;
        _set.DangerousAddRef(ref added);
        SetHandle((nint)dimer);
    }

    /// <summary>The direction, the backups and what else the dimer needs.</summary>
    public BoundBuffers Buffers { get; }

    protected override bool ReleaseHandle()
    {
        SpinWait wait = default;
        nopt_status status;
        while ((status = NativeMethods.nopt_dimer_destroy((nopt_dimer*)handle)) == nopt_status.NOPT_ERROR_BUSY)
        {
            wait.SpinOnce();
        }

        Buffers.ReleaseAll();
        _set.UnclaimDimer();
        _set.DangerousRelease();
        GC.KeepAlive(_optimizer);
        return status == nopt_status.NOPT_OK;
    }
}
