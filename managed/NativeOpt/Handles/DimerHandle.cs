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
    private volatile bool _isDisposedOf;

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

    /// <summary>The stream of the displacement that has not ended yet; null if there is none.</summary>
    public DeviceStream? DisplacedOn { get; set; }

    /// <summary>The direction, the backups and what else the dimer needs.</summary>
    public BoundBuffers Buffers { get; }

    protected override void Dispose(bool disposing)
    {
        _isDisposedOf |= disposing;
        base.Dispose(disposing);
    }

    protected override bool ReleaseHandle()
    {
        // After the last call, of whatever thread, that displaced. Not from a finalizer: the parameters may be gone then.
        if (_isDisposedOf && DisplacedOn is DeviceStream stream)
        {
            Restore(stream);
        }

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

    private void Restore(DeviceStream stream)
    {
        nint order;
        try
        {
            order = stream.Pointer;
        }
        catch (ObjectDisposedException)
        {
            order = 0;
        }

        // A device that is lost has nothing to restore, and nobody to tell.
        SpinWait wait = default;
        while (NativeMethods.nopt_dimer_restore((nopt_dimer*)handle, (void*)order) == nopt_status.NOPT_ERROR_BUSY)
        {
            wait.SpinOnce();
        }

        _set.IsDisplaced = false;
    }
}
