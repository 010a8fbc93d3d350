using System.Buffers;
using NativeOpt.Interop;

namespace NativeOpt;

// State buffers that the host owns.
public abstract unsafe partial class Optimizer
{
    /// <summary>Uses the host's buffers for a state, after checking that they fit. See the overload with addresses.</summary>
    /// <param name="role">Which state.</param>
    /// <param name="buffers">
    /// The buffer of each parameter, in the same order; they hold the state, at first what the rule says. A tensor that has none (see
    /// <see cref="StateRole.MasterParam"/>) has one of no elements.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The rule has no such state, there are fewer or more buffers than parameters, a length, element type, device or alignment
    /// does not fit, a pointer is null, or a buffer overlaps another one.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void BindState(StateRole role, ReadOnlySpan<TensorRef> buffers)
    {
        ThrowIfDisposed();
        _ = BindableRole(role, nameof(role));
        nint[] pointers = _states[role].RentPointers(buffers, nameof(buffers));
        try
        {
            BindState(role, pointers.AsSpan(0, buffers.Length));
        }
        finally
        {
            ArrayPool<nint>.Shared.Return(pointers);
        }
    }

    /// <summary>
    /// Uses the host's buffers for a state, by address, in place of those that the optimizer allocated (and now frees) or
    /// was given before. The host keeps them until the optimizer is disposed of and its last step has finished. A state that
    /// only other options lead to may be bound before they are set (<see cref="SetFlag"/>).
    /// </summary>
    /// <param name="role">Which state.</param>
    /// <param name="buffers">
    /// The address of each parameter's buffer on the set's device: as many elements as the parameter has, of
    /// <see cref="OptimizerOptions.StateType"/>, or what <see cref="OptimizerOptions.StateTypes"/> or
    /// <see cref="TensorOptions.StateType"/> say; of <see cref="DType.Dynamic8"/> as many bytes as
    /// <see cref="DTypes.ByteCount(DType, long)"/> says, aligned to 4, and float32 for tensors of fewer than
    /// <see cref="OptimizerOptions.MinDynamic8ElementCount"/> elements. They hold the state, at first what
    /// <see cref="RuleState.InitialValue"/> says (zeros of any type are bytes of 0). <see cref="StateRole.MasterParam"/>
    /// (float32) holds what the parameters are, which <see cref="ResetMasterWeights"/> writes there. The address is 0 for a
    /// tensor that has none.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The rule has no such state, there are fewer or more buffers than parameters, a pointer is null or misaligned, or a
    /// buffer overlaps another one.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void BindState(StateRole role, ReadOnlySpan<nint> buffers)
    {
        ThrowIfDisposed();
        nopt_role native = BindableRole(role, nameof(role));
        RequireAddresses(role, buffers, nameof(buffers), null);
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.Bind(native, buffers, owned: null);
            _idleStates.Remove(role);
        }
    }

    /// <summary>
    /// Uses the host's buffers for several states at once, by address: all of them, or none if that fails. What is bound in the
    /// end must not overlap, so that a state may take the place that another one had before.
    /// </summary>
    /// <param name="buffers">
    /// For each state the address of each parameter's buffer, as for <see cref="BindState(StateRole, ReadOnlySpan{nint})"/>.
    /// States that are left out stay where they are. The arrays are copied.
    /// </param>
    /// <exception cref="ArgumentNullException"><paramref name="buffers"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such state, there are fewer or more buffers than parameters, a pointer is null or misaligned, or a
    /// buffer overlaps another one.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void BindStates(IReadOnlyDictionary<StateRole, nint[]> buffers)
    {
        ArgumentNullException.ThrowIfNull(buffers);
        ThrowIfDisposed();
        List<(StateRole Role, HostBuffers Buffers)> all = [];
        foreach ((StateRole role, nint[] own) in buffers)
        {
            nopt_role native = BindableRole(role, nameof(buffers));
            string what = $"{nameof(buffers)}[\"{role}\"]";
            RequireAddresses(role, RequireArray(own, what, nameof(buffers)), nameof(buffers), what);
            all.Add((role, new HostBuffers(native, [.. own], _states[role], null)));
        }

        BindAll(all);
    }

    /// <summary>
    /// Uses the host's buffers for several states at once, after checking that they fit: all of them, or none if that fails.
    /// What is bound in the end must not overlap, so that a state may take the place that another one had before. The buffers
    /// may be of other element types than before, as far as the state can have them (<see cref="RuleState.DTypes"/>): the
    /// types of these tensors' states are then what the buffers are, in place of what the options say. A step that another
    /// thread begins while the types change may find states missing, and throws <see cref="InvalidOperationException"/>.
    /// </summary>
    /// <param name="buffers">
    /// For each state the buffer of each parameter, in the same order. States that are left out stay where they are. The
    /// arrays are copied.
    /// </param>
    /// <exception cref="ArgumentNullException"><paramref name="buffers"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such state, there are fewer or more buffers than parameters, a length, element type, device or
    /// alignment does not fit, a pointer is null, or a buffer overlaps another one.
    /// </exception>
    /// <exception cref="NotSupportedException">The element type of a master weight is not implemented.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void BindStates(IReadOnlyDictionary<StateRole, TensorRef[]> buffers)
    {
        ArgumentNullException.ThrowIfNull(buffers);
        ThrowIfDisposed();
        List<(StateRole Role, HostBuffers Buffers)> all = [];
        foreach ((StateRole role, TensorRef[] own) in buffers)
        {
            nopt_role native = BindableRole(role, nameof(buffers));
            BufferLayout? layout = LayoutOf(role, own, $"{nameof(buffers)}[\"{role}\"]", nameof(buffers));
            nint[] pointers = [.. own.Select(static buffer => buffer.Pointer)];
            all.Add((role, new HostBuffers(native, pointers, _states[role], layout)));
        }

        BindAll(all);
    }

    /// <summary>
    /// Lets all states go that the host bound, master weights included; those that the optimizer allocated stay. What needs
    /// such a state, as steps, <see cref="GetState"/>, <c>Save</c> and <c>Load</c> do, throws
    /// <see cref="InvalidOperationException"/> until the host has bound it again. Does nothing if the host bound none.
    /// </summary>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void UnbindStates()
    {
        ThrowIfDisposed();
        RequireNotDisplaced();
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.ReleaseHosts(_states.AllNative);
            _stateIsReady = false;
        }
    }

    private void BindAll(List<(StateRole Role, HostBuffers Buffers)> all)
    {
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.BindAll([.. all.Select(static own => own.Buffers)]);
            foreach ((StateRole role, HostBuffers buffers) in all)
            {
                _states[role] = buffers.NewLayout ?? buffers.Layout;
                _idleStates.Remove(role);
            }
        }
    }

    /// <summary>The native role of a state that the optimizer has with some options.</summary>
    private nopt_role BindableRole(StateRole role, string paramName) =>
        _states.Native(role) ?? throw new ArgumentException(
            $"The rule \"{RuleName}\" has no state \"{role}\"; it has "
            + $"{Rule.Names(_states.All.Select(static known => known.Name))}.",
            paramName);

    /// <summary>What buffers of a state are made of; null if they are of the types that the state has.</summary>
    private BufferLayout? LayoutOf(StateRole role, TensorRef[] buffers, string what, string paramName)
    {
        BufferLayout present = _states[role];
        present.RequireCount(RequireArray(buffers, what, paramName).Length, paramName, what);
        RuleState? state = Rule.FindState(role);
        for (int i = 0; i < buffers.Length; i++)
        {
            present.RequireElements(buffers[i], i, paramName, what);
            present.RequireAddress(buffers[i].Pointer, i, paramName, role, what);
            if (state is null)
            {
                present.RequireFit(buffers[i], i, paramName, what);
            }
            else if (!state.DTypes.Contains(buffers[i].DType))
            {
                throw new ArgumentException(
                    $"{what}[{i}] is {buffers[i].DType}; {role} of the rule \"{RuleName}\" can only be {Check.OneOf(state.DTypes)}.",
                    paramName);
            }
        }

        DType[] types = Array.ConvertAll(buffers, static buffer => buffer.DType);
        return types.AsSpan().SequenceEqual(present.Types) ? null : present.With(types);
    }

    private void RequireAddresses(StateRole role, ReadOnlySpan<nint> buffers, string paramName, string? what)
    {
        BufferLayout layout = _states[role];
        layout.RequireCount(buffers.Length, paramName, what);
        for (int i = 0; i < buffers.Length; i++)
        {
            layout.RequireAddress(buffers[i], i, paramName, role, what);
        }
    }

    private static T[] RequireArray<T>(T[]? array, string what, string paramName) =>
        array ?? throw new ArgumentException($"{what} is null.", paramName);
}
