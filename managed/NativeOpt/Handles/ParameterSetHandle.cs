using System.Runtime.InteropServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Owns a native parameter set, what keeps its buffers in place, and the claims of the one optimizer and the
/// one dimer over it.</summary>
internal sealed unsafe class ParameterSetHandle : NativeHandle
{
    private readonly GCHandle[] _pins;
    private OptimizerHandle? _optimizer;
    private DimerHandle? _dimer;

    /// <param name="parameters">Where the parameters are, how many elements they have and of which type.</param>
    /// <param name="pins">
    /// Released together with the native set, which an optimizer may outlive its <see cref="ParameterSet"/> with. They are
    /// the handle's from this call on, even if it throws.
    /// </param>
    public ParameterSetHandle(BufferLayout parameters, GCHandle[] pins)
    {
        _pins = pins;
        TensorCount = parameters.Types.Length;
        nopt_param_set* set = null;
        fixed (long* counts = parameters.ElementCounts)
        fixed (DType* types = parameters.Types)
        {
            nopt_status status = NativeMethods.nopt_param_set_create(
                parameters.Device.NativeBackend, parameters.Device.Index, TensorCount, counts, (nopt_dtype*)types, &set);
            if (status != nopt_status.NOPT_OK)
            {
                Free(pins);
            }

            NativeError.ThrowIfFailed(status);
        }

        SetHandle((nint)set);
    }

    public int TensorCount { get; }

    /// <summary>Sets the element types of a role that is not bound.</summary>
    public void SetTypes(nopt_role role, BufferLayout layout)
    {
        fixed (DType* types = layout.Types)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_dtypes(
                    (nopt_param_set*)DangerousGetHandle(), role, TensorCount, (nopt_dtype*)types));
        }
    }

    /// <summary>
    /// Makes an optimizer the set's only one, or says that there is one. The reference also keeps an optimizer that nobody
    /// disposed of alive as long as its set: its finalizer must not unbind buffers while the set is in use.
    /// </summary>
    public bool TryClaim(OptimizerHandle optimizer) =>
        Interlocked.CompareExchange(ref _optimizer, optimizer, null) is null;

    public void Unclaim() => Volatile.Write(ref _optimizer, null);

    /// <summary>As <see cref="TryClaim"/>, for the dimer around the optimizer.</summary>
    public bool TryClaimDimer(DimerHandle dimer) => Interlocked.CompareExchange(ref _dimer, dimer, null) is null;

    public void UnclaimDimer() => Volatile.Write(ref _dimer, null);

    /// <summary>Whether a dimer has displaced the parameters: they are not what the model is trained to, then.</summary>
    public volatile bool IsDisplaced;

    public static void Free(GCHandle[] pins)
    {
        foreach (GCHandle pin in pins)
        {
            pin.Free();
        }
    }

    protected override bool ReleaseHandle()
    {
        nopt_status status = NativeMethods.nopt_param_set_destroy((nopt_param_set*)handle);
        Free(_pins);
        return status == nopt_status.NOPT_OK;
    }
}
