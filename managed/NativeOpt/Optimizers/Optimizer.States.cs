using NativeOpt.Interop;

namespace NativeOpt;

// The state buffers: which there are, where they are, and what they hold at first.
public abstract unsafe partial class Optimizer
{
    /// <summary>The state buffers that steps with the present options use.</summary>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public IReadOnlyList<StateRole> StateRoles
    {
        get
        {
            ThrowIfDisposed();
            return [.. Roles()];
        }
    }

    /// <summary>
    /// The bytes of the state buffers that the optimizer has allocated so far: none before the first step or whatever needs
    /// them first. <see cref="OptimizerMemory"/> tells them beforehand.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long AllocatedBytes
    {
        get
        {
            ThrowIfDisposed();
            lock (_stateLock)
            {
                return _handle.Buffers.AllocatedBytes;
            }
        }
    }

    /// <summary>A state buffer of a tensor, allocated if it was not yet.</summary>
    /// <param name="role">Which state.</param>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="stream">
    /// The stream of the work that wrote the parameters, which new master weights are copied from; the default one if left
    /// out.
    /// </param>
    /// <returns>
    /// The buffer; it is valid until the optimizer is disposed of or the role is bound anew. It has no elements if the tensor
    /// has no such state, as float32 ones have no master weights.
    /// </returns>
    /// <exception cref="ArgumentException">The rule with its options has no such state.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    /// <exception cref="InvalidOperationException">A state was let go with <see cref="UnbindStates"/>.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    public TensorRef GetState(StateRole role, int tensor, DeviceStream stream = default)
    {
        ThrowIfDisposed();
        nopt_role native = NativeRole(role);
        ParameterSet.RequireIndex(tensor);
        EnsureState(stream);
        return _states[role].At(tensor, _handle.Buffers.Pointers(native)[tensor]);
    }

    /// <summary>
    /// Copies a state of a tensor to host memory as float32, in stream order, and waits for it; it is allocated if it was not
    /// yet. States of 16 bits and of <see cref="DType.Dynamic8"/> become exactly the numbers that the next step reads.
    /// </summary>
    /// <param name="role">Which state; a remainder is no number.</param>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="destination">As many elements as the tensor has, or none where it has no such state.</param>
    /// <param name="stream">The stream of the last step; the default one if left out.</param>
    /// <exception cref="ArgumentException">
    /// The rule with its options has no such state, the lengths differ, or the stream does not fit the device.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    /// <exception cref="NotSupportedException">The state is <see cref="StateRole.ParamRemainder"/>.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void CopyStateTo(StateRole role, int tensor, Span<float> destination, DeviceStream stream = default)
    {
        TensorRef state = GetState(role, tensor, stream);
        using HandleLease lease = new(_handle, this);
        state.CopyTo(destination, IsSigned(role), stream);
    }

    /// <summary>Whether a state has negative values; master weights do.</summary>
    internal bool IsSigned(StateRole role) => Rule.FindState(role) is not { IsSigned: false };

    /// <summary>Throws unless the optimizer can have a state that it did not need up to now.</summary>
    /// <param name="state">The state.</param>
    /// <param name="what">What leads to it, for the message.</param>
    /// <param name="paramName">The argument that leads to it.</param>
    internal void RequireNewState(RuleState state, string what, string paramName)
    {
        lock (_stateLock)
        {
            BoundBuffers buffers = _handle.Buffers;
            if (buffers.IsBound(StateLayouts.NativeRole(state)))
            {
                return;
            }

            if (Rule.States.Any(own => buffers.IsOfHost(StateLayouts.NativeRole(own))))
            {
                throw new InvalidOperationException(
                    $"{what} needs the state {state.Name}, which is not bound, but other states of the optimizer are the host's. "
                    + $"Bind it first, with {nameof(BindState)} or {nameof(BindStates)}.");
            }
        }

        _states.RequireTypes(state, paramName);
    }

    /// <summary>
    /// Has the next step look which state buffers it needs. A state that it does not need is idle from now on: it begins anew
    /// when a later step needs it, as it does in a run that was resumed in between, since files do not have it.
    /// </summary>
    /// <param name="changed">What the next step takes; all groups need the same states.</param>
    internal void ChangeStates(in nopt_hyperparams changed)
    {
        lock (_stateLock)
        {
            foreach (RuleState state in Rule.States)
            {
                if (!Rule.HasState(state, changed) && _handle.Buffers.IsBound(StateLayouts.NativeRole(state)))
                {
                    _idleStates.Add(state.Role);
                }
            }

            _stateIsReady = false;
        }
    }

    /// <summary>Allocates the state buffers that the next step needs and that are not there yet.</summary>
    /// <param name="stream">The stream of the work that wrote the parameters.</param>
    /// <param name="isForStep">Whether the next step begins now, from the parameters as they are.</param>
    internal void EnsureState(DeviceStream stream, bool isForStep = false)
    {
        if (!_stateIsReady)
        {
            AllocateMissingState(stream, isForStep);
        }
    }

    /// <summary>Fills a state of a tensor with what it holds before the first step, in stream order, and waits for it.</summary>
    internal void Initialize(RuleState state, int tensor, TensorRef buffer, DeviceStream stream)
    {
        if (buffer.ElementCount == 0)
        {
            return;
        }

        double value = state.InitialHyperparameter is { } name
            ? HyperparameterOf(tensor, Rule.GetHyperparameter(name))
            : state.InitialValue;
        Device device = buffer.Device;
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_memory_fill(
                device.NativeBackend, device.Index, (void*)buffer.Pointer, buffer.ElementCount, (nopt_dtype)buffer.DType, value,
                (void*)stream.Pointer));
        stream.Synchronize(device);
    }

    /// <summary>
    /// What a hyperparameter is for a tensor: its group's value, unless the tensor has its own weight decay or a factor of the
    /// learning rate.
    /// </summary>
    internal double HyperparameterOf(int tensor, Hyperparameter hyperparameter)
    {
        double ofGroup = _groups[ParameterSet.GetGroup(tensor)].Hyperparameters.values[hyperparameter.Index];
        return (nopt_hyperparam)hyperparameter.Index switch
        {
            nopt_hyperparam.NOPT_HYPERPARAM_LR => ofGroup * ParameterSet.GetLearningRateScale(tensor),
            nopt_hyperparam.NOPT_HYPERPARAM_WEIGHT_DECAY => ParameterSet.GetWeightDecay(tensor) ?? ofGroup,
            _ => ofGroup,
        };
    }

    /// <summary>All states that steps with the present options use.</summary>
    private IEnumerable<StateRole> Roles() => _states.Roles(_groups[0].Hyperparameters);

    /// <summary>The native role of a state that steps with the present options use.</summary>
    private nopt_role NativeRole(StateRole role)
    {
        if (_states.Native(role, _groups[0].Hyperparameters) is { } native)
        {
            return native;
        }

        string[] names = [.. Roles().Select(static known => known.Name)];
        throw new ArgumentException(
            $"The rule \"{RuleName}\" with these options has no state \"{role}\"; it has "
            + $"{(names.Length == 0 ? "none" : Rule.Names(names))}.",
            nameof(role));
    }

    private void AllocateMissingState(DeviceStream stream, bool isForStep)
    {
        // Two threads at the first step: which one may step is decided natively, but both come by here.
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            if (isForStep)
            {
                CheckMasterWeightsOnce(stream);
            }

            foreach (StateRole role in Roles())
            {
                nopt_role native = NativeRole(role);
                if (_handle.Buffers.IsReleased(native))
                {
                    throw new InvalidOperationException(
                        $"The state {role} was the host's until {nameof(UnbindStates)}. Bind it again, with {nameof(BindStates)} or "
                        + $"{nameof(BindState)}, or make a new optimizer.");
                }

                if (!_handle.Buffers.IsBound(native))
                {
                    _handle.Buffers.Allocate(native, _states[role], pointers => InitializeAll(role, pointers, true, stream));
                }
                else if (_idleStates.Contains(role))
                {
                    InitializeAll(role, _handle.Buffers.Pointers(native), false, stream);
                }

                _idleStates.Remove(role);
            }

            _stateIsReady = !_masterWeightsAreUnchecked;
        }
    }

    /// <summary>Fills buffers with what they hold before the first step.</summary>
    private void InitializeAll(StateRole role, ReadOnlySpan<nint> pointers, bool areZeroed, DeviceStream stream)
    {
        if (role == _states.MasterRole)
        {
            WriteMasterWeights(pointers, stream);
            return;
        }

        RuleState state = Rule.FindState(role)!;
        bool areReady = areZeroed && state.InitialValue == 0 && state.InitialHyperparameter is null;
        for (int tensor = 0; tensor < pointers.Length && !areReady; tensor++)
        {
            Initialize(state, tensor, _states[role].At(tensor, pointers[tensor]), stream);
        }
    }
}
