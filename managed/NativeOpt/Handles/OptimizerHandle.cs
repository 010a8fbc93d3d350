using System.Text;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// Owns a native optimizer, its claim on the parameter set, and the state buffers that it allocated. All of them are let
/// go together, after the last call that uses them.
/// </summary>
internal sealed unsafe class OptimizerHandle : NativeHandle
{
    private readonly ParameterSetHandle _set;

    public OptimizerHandle(ParameterSet parameters, string rule)
    {
        _set = parameters.Handle;
        Buffers = new BoundBuffers(_set);
        using HandleLease lease = new(_set, parameters);
        if (!_set.TryClaim(this))
        {
            throw new InvalidOperationException(
                "The parameter set already has an optimizer, which owns its state buffers. Dispose of that one first, or "
                + "make a second ParameterSet over other tensors.");
        }

        nopt_optimizer* optimizer = null;
        nopt_status status;
        fixed (byte* name = Encoding.UTF8.GetBytes(rule + '\0'))
        {
            status = NativeMethods.nopt_optimizer_create((nopt_param_set*)lease.Pointer, (sbyte*)name, &optimizer);
        }

        if (status != nopt_status.NOPT_OK)
        {
            _set.Unclaim();
            NativeError.ThrowIfFailed(status);
        }

        // Held until ReleaseHandle: the native set (and pinned arrays) must outlive the optimizer.
        bool added = false;
        _set.DangerousAddRef(ref added);
        SetHandle((nint)optimizer);
    }

    /// <summary>The state buffers.</summary>
    public BoundBuffers Buffers { get; }

    protected override bool ReleaseHandle()
    {
        nopt_status status = NativeMethods.nopt_optimizer_destroy((nopt_optimizer*)handle);
        Buffers.ReleaseAll();
        _set.Unclaim();
        _set.DangerousRelease();
        return status == nopt_status.NOPT_OK;
    }
}
