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
    private readonly Dictionary<StateRole, State> _states = [];

    public OptimizerHandle(ParameterSet parameters, string rule)
    {
        _set = parameters.Handle;
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

    public bool IsBound(StateRole role) => _states.ContainsKey(role);

    /// <summary>The address of each tensor's buffer.</summary>
    public ReadOnlySpan<nint> Pointers(StateRole role) => _states[role].Pointers;

    /// <summary>Binds a role's buffers, in place of earlier ones. The handle takes <paramref name="owned"/> if all goes well.</summary>
    public void Bind(StateRole role, ReadOnlySpan<nint> pointers, MemoryHandle? owned)
    {
        State state = new(pointers.ToArray(), owned);
        NativeError.ThrowIfFailed(BindNative(role, pointers));
        _states.Remove(role, out State? replaced);
        _states.Add(role, state);
        replaced?.Owned?.Dispose();
    }

    protected override bool ReleaseHandle()
    {
        nopt_status status = NativeMethods.nopt_optimizer_destroy((nopt_optimizer*)handle);

        // Addresses of freed memory must not stay in the set: memory allocated there later would seem to overlap.
        foreach (StateRole role in _states.Keys)
        {
            SpinWait wait = default;
            while (BindNative(role, default) == nopt_status.NOPT_ERROR_BUSY)
            {
                wait.SpinOnce();
            }
        }

        foreach (State state in _states.Values)
        {
            state.Owned?.Dispose();
        }

        _set.Unclaim();
        _set.DangerousRelease();
        return status == nopt_status.NOPT_OK;
    }

    private nopt_status BindNative(StateRole role, ReadOnlySpan<nint> pointers)
    {
        fixed (nint* first = pointers)
        {
            return NativeMethods.nopt_param_set_bind(
                (nopt_param_set*)_set.DangerousGetHandle(), (nopt_role)role, _set.TensorCount, (void**)first);
        }
    }

    private sealed record State(nint[] Pointers, MemoryHandle? Owned);
}
