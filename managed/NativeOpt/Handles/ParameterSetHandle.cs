using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Owns a native parameter set, what keeps its buffers in place, and the claims of the one optimizer and the
/// one dimer over it.</summary>
internal sealed unsafe class ParameterSetHandle : NativeHandle
{
    private readonly object? _owner;
    private OptimizerHandle? _optimizer;
    private DimerHandle? _dimer;

    /// <param name="parameters">Where the parameters are, how many elements they have and of which type.</param>
    /// <param name="owner">
    /// The owner of the tensors' memory, or null. The handle refers to it as long as the native set exists, which an optimizer
    /// may outlive its <see cref="ParameterSet"/> with, and then disposes of it if it is disposable; also if this call throws.
    /// </param>
    public ParameterSetHandle(BufferLayout parameters, object? owner)
    {
        _owner = owner;
        TensorCount = parameters.Types.Length;
        nopt_param_set* set = null;
        fixed (long* counts = parameters.ElementCounts)
        fixed (DType* types = parameters.Types)
        {
            nopt_status status = NativeMethods.nopt_param_set_create(
                parameters.Device.NativeBackend, parameters.Device.Index, TensorCount, counts, (nopt_dtype*)types, &set);
            if (status != nopt_status.NOPT_OK)
            {
                DisposeOwner();
            }

            NativeError.ThrowIfFailed(status);
        }

        SetHandle((nint)set);
    }

    public int TensorCount { get; }

    /// <summary>Sets the element types of a role that is not bound.</summary>
    public void SetTypes(nopt_role role, BufferLayout layout) => NativeError.ThrowIfFailed(TrySetTypes(role, layout));

    /// <summary>Sets the element types of a role that is not bound, or tells why not.</summary>
    public nopt_status TrySetTypes(nopt_role role, BufferLayout layout)
    {
        fixed (DType* types = layout.Types)
        {
            return NativeMethods.nopt_param_set_set_dtypes(
                (nopt_param_set*)DangerousGetHandle(), role, TensorCount, (nopt_dtype*)types);
        }
    }

    /// <summary>Binds several roles at once, or unbinds those whose addresses are null: all of it or nothing.</summary>
    /// <param name="roles">The roles, each one once.</param>
    /// <param name="pointers">For each role an address for each tensor, or null.</param>
    public nopt_status Bind(ReadOnlySpan<nopt_role> roles, void*** pointers)
    {
        fixed (nopt_role* first = roles)
        {
            return NativeMethods.nopt_param_set_bind_roles(
                (nopt_param_set*)DangerousGetHandle(), TensorCount, roles.Length, first, pointers);
        }
    }

    /// <summary>The number of groups of the set's optimizer; the largest number there is if the set has no optimizer.</summary>
    public int GroupCount => Volatile.Read(ref _optimizer)?.GroupCount ?? int.MaxValue;

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

    protected override bool ReleaseHandle()
    {
        nopt_status status = NativeMethods.nopt_param_set_destroy((nopt_param_set*)handle);
        DisposeOwner();
        return status == nopt_status.NOPT_OK;
    }

    private void DisposeOwner() => (_owner as IDisposable)?.Dispose();
}
