using System.Buffers;
using System.Runtime.CompilerServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// An update rule over a <see cref="NativeOpt.ParameterSet"/>: <see cref="Step()"/> updates all of its parameters from
/// their gradients in one native call.
/// </summary>
/// <remarks>
/// <para>
/// State buffers (moments, momentum) are allocated on the set's device, zeroed, at the first step or whatever needs them
/// first; <see cref="BindState(StateRole, ReadOnlySpan{nint})"/> before that gives the host's own. A set has one optimizer
/// at a time.
/// </para>
/// <para>
/// With <see cref="OptimizerOptions.MasterWeights"/> the parameters are what the optimizer's own, longer numbers round to.
/// These begin as the parameters are when the states are allocated; a host that writes parameters after that (loads a
/// checkpoint, averages them) calls <see cref="ResetMasterWeights"/>, or the next step goes on from the old ones.
/// </para>
/// <para>
/// For equal inputs a step gives the same bits on every device, instruction set and number of threads. It allocates nothing
/// and on CUDA does not wait for the device. It serves one thread at a time, together with its set.
/// </para>
/// <para>
/// Tensors may be in groups (<see cref="TensorOptions.Group"/>) with hyperparameters, step counts and products of their own
/// (<see cref="Groups"/>), which are still stepped together, in one native call. The optimizer's own properties are those of
/// group 0. To add or to remove tensors or groups between steps, make another set and another optimizer, and call its
/// <see cref="TakeOver"/>.
/// </para>
/// <para>Which exception a failure of the native library becomes: see <see cref="NativeOptException"/>.</para>
/// </remarks>
public abstract unsafe partial class Optimizer : IDisposable
{
    // Whatever the types and options, steps of so little take a fraction of a microsecond.
    private const int MaxElementsOfShortSteps = 128;
    private const int MaxTensorsOfShortSteps = 8;

    private readonly OptimizerHandle _handle;
    private readonly object _stateLock = new();
    private readonly OptimizerOptions _common;
    private readonly StateLayouts _states;
    private readonly OptimizerGroup[] _groups;
    private readonly nopt_hyperparams[] _stepHyperparameters;
    private readonly bool _stepsAreShort;
    private volatile bool _stateIsReady;

    private protected Optimizer(ParameterSet parameters, IReadOnlyList<OptimizerOptions> options)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(options);
        _groups = MakeGroups(options);
        options[0].ValidateTypes(parameters.ParameterLayout, tensor => parameters.Names[tensor], nameof(options));
        parameters.RequireGroups(options.Count, nameof(options));
        ParameterSet = parameters;
        _common = options[0]; // what is the same in all groups
        RuleName = _common.RuleName;
        _states = new StateLayouts(parameters.ParameterLayout, _common);
        _stepsAreShort = parameters.Device.Backend == Backend.Cpu
            && parameters.TotalElementCount <= MaxElementsOfShortSteps && parameters.Count <= MaxTensorsOfShortSteps;
        _stepHyperparameters = GC.AllocateArray<nopt_hyperparams>(options.Count, pinned: true);
        StepHyperparameters = (nopt_hyperparams*)Unsafe.AsPointer(ref _stepHyperparameters[0]);
        foreach (OptimizerGroup group in _groups)
        {
            WriteStepHyperparameters(group.Index, group.Hyperparameters);
        }

        _handle = new OptimizerHandle(parameters, RuleName, _states.RuleStates, options.Count);
    }

    /// <summary>The tensors.</summary>
    public ParameterSet ParameterSet { get; }

    /// <summary>The native library's name of the update rule; see <see cref="NativeRuntime.Rules"/>.</summary>
    public string RuleName { get; }

    /// <summary>
    /// The groups of hyperparameters, at least one; each one's index is the <see cref="TensorOptions.Group"/> of its tensors.
    /// </summary>
    public abstract IReadOnlyList<OptimizerGroup> Groups { get; }

    /// <summary>The learning rate of group 0, finite and >= 0; may change between steps.</summary>
    /// <inheritdoc cref="OptimizerGroup.LearningRate" path="/exception"/>
    public double LearningRate
    {
        get => _groups[0].LearningRate;
        set => _groups[0].LearningRate = value;
    }

    /// <summary>
    /// The weight decay of tensors of group 0 that have none of their own, finite and >= 0; may change between steps.
    /// </summary>
    /// <inheritdoc cref="OptimizerGroup.WeightDecay" path="/exception"/>
    public double WeightDecay
    {
        get => _groups[0].WeightDecay;
        set => _groups[0].WeightDecay = value;
    }

    /// <summary>Steps taken by group 0, t; 0 before the first. To be set only to resume.</summary>
    /// <inheritdoc cref="OptimizerGroup.StepCount" path="/exception"/>
    public long StepCount
    {
        get => _groups[0].StepCount;
        set => _groups[0].StepCount = value;
    }

    /// <summary>
    /// The product of beta1 over all steps taken by group 0, in [0, 1], for bias correction; 1 before the first step and for
    /// rules without betas. To be set only to resume.
    /// </summary>
    /// <inheritdoc cref="OptimizerGroup.Beta1Product" path="/exception"/>
    public double Beta1Product
    {
        get => _groups[0].Beta1Product;
        set => _groups[0].Beta1Product = value;
    }

    /// <summary>The product of beta2 over all steps taken by group 0; see <see cref="Beta1Product"/>.</summary>
    /// <inheritdoc cref="OptimizerGroup.Beta2Product" path="/exception"/>
    public double Beta2Product
    {
        get => _groups[0].Beta2Product;
        set => _groups[0].Beta2Product = value;
    }

    /// <summary>The state buffers that steps with the present options use.</summary>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public IReadOnlyList<StateRole> StateRoles
    {
        get
        {
            ThrowIfDisposed();
            return [.. _states.Roles(RoleMask())];
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

    internal OptimizerHandle Handle => _handle;

    internal int GroupCount => _groups.Length;

    /// <summary>
    /// What native steps are given: <see cref="GroupCount"/> structs, one after another, in memory that stays where it is as
    /// long as the optimizer is alive. A step has only to pass it on.
    /// </summary>
    internal nopt_hyperparams* StepHyperparameters { get; }

    /// <summary>After a change.</summary>
    internal void WriteStepHyperparameters(int group, in nopt_hyperparams hyperparameters)
    {
        StepHyperparameters[group] = hyperparameters;
        if (IsCapturable)
        {
            StepHyperparameters[group].lr = NativeMethods.NOPT_LR_ON_DEVICE;
        }
    }

    /// <summary>One step of all tensors, on the default stream.</summary>
    /// <inheritdoc cref="Step(DeviceStream)" path="/exception"/>
    public void Step() => Step(DeviceStream.Default);

    /// <summary>
    /// One step of all tensors: reads the gradients, updates the parameters and the states, counts the step. On CUDA it is
    /// queued on the stream, after the work that computes the gradients if that is queued there too.
    /// </summary>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <exception cref="InvalidOperationException">
    /// The set has no gradients yet, or a <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the state buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault, perhaps of earlier work.</exception>
    public void Step(DeviceStream stream)
    {
        ThrowIfDisposed();
        RequireGradients();
        RequireNotDisplaced();
        EnsureState(stream);
        using StepLease lease = new(_handle, this);
        nopt_optimizer* optimizer = (nopt_optimizer*)lease.Pointer;
        void* nativeStream = (void*)stream.Pointer;
        NativeError.ThrowIfFailed(
            _stepsAreShort
                ? ShortCalls.nopt_optimizer_step(optimizer, StepHyperparameters, nativeStream)
                : NativeMethods.nopt_optimizer_step(optimizer, StepHyperparameters, nativeStream));
        stream.KeepAlive();
        GC.KeepAlive(this);
    }

    /// <summary>Uses the host's buffers for a state, after checking that they fit. See the overload with addresses.</summary>
    /// <param name="role">Which state.</param>
    /// <param name="buffers">
    /// The buffer of each parameter, in the same order; they hold the state, at first zeros. A tensor that has none (see
    /// <see cref="StateRole.MasterParam"/>) has one of no elements.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The rule with its options has no such state, there are fewer or more buffers than parameters, a length, element type,
    /// device or alignment does not fit, a pointer is null, or a buffer overlaps another one.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void BindState(StateRole role, ReadOnlySpan<TensorRef> buffers)
    {
        ThrowIfDisposed();
        RequireRole(role);
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
    /// was given before. The host keeps them until the optimizer is disposed of and its last step has finished.
    /// </summary>
    /// <param name="role">Which state.</param>
    /// <param name="buffers">
    /// The address of each parameter's buffer on the set's device: as many elements as the parameter has, of
    /// <see cref="OptimizerOptions.StateType"/>; of <see cref="DType.Dynamic8"/> as many bytes as
    /// <see cref="DTypes.ByteCount(DType, long)"/> says, aligned to 4, and float32 for tensors of fewer than
    /// <see cref="OptimizerOptions.MinDynamic8ElementCount"/> elements. They hold the state, at first zeros (bytes of 0); of
    /// <see cref="StateRole.MasterParam"/> (float32) what the parameters are, which <see cref="ResetMasterWeights"/> writes
    /// there. 0 for a tensor that has none.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The rule with its options has no such state, there are fewer or more buffers than parameters, a pointer is null or
    /// misaligned, or a buffer overlaps another one.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void BindState(StateRole role, ReadOnlySpan<nint> buffers)
    {
        ThrowIfDisposed();
        RequireRole(role);
        BufferLayout layout = _states[role];
        layout.RequireCount(buffers.Length, nameof(buffers));
        for (int i = 0; i < buffers.Length; i++)
        {
            // The native library takes null for a tensor that is to do without.
            if (buffers[i] == 0 && layout.ElementCounts[i] > 0)
            {
                throw new ArgumentException(
                    $"buffers[{i}] is null, but {role} of the tensor has {layout.ElementCounts[i]} elements.", nameof(buffers));
            }
        }

        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.Bind((nopt_role)role, buffers, owned: null);
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
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    public TensorRef GetState(StateRole role, int tensor, DeviceStream stream = default)
    {
        ThrowIfDisposed();
        RequireRole(role);
        ParameterSet.RequireIndex(tensor);
        EnsureState(stream);
        return _states[role].At(tensor, _handle.Buffers.Pointers((nopt_role)role)[tensor]);
    }

    /// <summary>
    /// Copies a state of a tensor to host memory as float32, in stream order, and waits for it; it is allocated if it was not
    /// yet. Of bfloat16 and of <see cref="DType.Dynamic8"/> they are the numbers that the next step reads, exactly.
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
        state.CopyTo(destination, role, stream);
    }

    /// <summary>
    /// Makes the master weights anew from the parameters as they are, after the host wrote these: copies of them with
    /// <see cref="MasterWeights.Float32"/>, zeros with <see cref="MasterWeights.Remainder"/>. Waits for the stream.
    /// </summary>
    /// <param name="stream">The stream of the work that wrote the parameters, and of the next step.</param>
    /// <exception cref="InvalidOperationException">
    /// The optimizer has no master weights, or a <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the state buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void ResetMasterWeights(DeviceStream stream = default)
    {
        ThrowIfDisposed();
        if (_states.MasterRole is not { } role)
        {
            throw new InvalidOperationException(
                "The optimizer has no master weights to reset; it was made with MasterWeights.None.");
        }

        RequireNotDisplaced();
        EnsureState(stream);
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            WriteMasterWeights(_handle.Buffers.Pointers((nopt_role)role), stream);
        }
    }

    /// <summary>
    /// Frees the state buffers that the optimizer allocated, after a step that another thread is in; on CUDA it waits for the
    /// device's work. The set can have another optimizer then. Further calls do nothing.
    /// </summary>
    public void Dispose()
    {
        _handle.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>What a step with some options takes, checked.</summary>
    /// <param name="options">The options.</param>
    /// <param name="where">What messages say before the name of an option.</param>
    /// <param name="paramName">The argument that they come from.</param>
    internal static nopt_hyperparams Hyperparams(OptimizerOptions options, string where, string paramName)
    {
        nopt_hyperparams hyperparameters = options.ToNative() with { struct_size = (uint)sizeof(nopt_hyperparams) };
        OptimizerGroup.Validate(hyperparameters, where, paramName);
        return hyperparameters;
    }

    /// <summary>A group for each of the options, checked.</summary>
    private OptimizerGroup[] MakeGroups(IReadOnlyList<OptimizerOptions> options)
    {
        if (options.Count is < 1 or > NativeMethods.NOPT_MAX_GROUPS)
        {
            throw new ArgumentException(
                $"options has {options.Count} entries; it must have 1 to {NativeMethods.NOPT_MAX_GROUPS}, one for each group.",
                nameof(options));
        }

        OptimizerGroup[] groups = new OptimizerGroup[options.Count];
        for (int group = 0; group < groups.Length; group++)
        {
            OptimizerOptions own =
                options[group] ?? throw new ArgumentException($"options[{group}] is null.", nameof(options));
            string where = groups.Length == 1 ? "" : $"options[{group}].";
            groups[group] = own.MakeGroup(this, group, Hyperparams(own, where, nameof(options)));
            own.RequireLike(options[0], group, nameof(options));
        }

        return groups;
    }

    /// <summary>The groups, of the type that the optimizer's options make them.</summary>
    private protected IReadOnlyList<T> GroupsOf<T>()
        where T : OptimizerGroup => Array.AsReadOnly([.. _groups.Cast<T>()]);

    internal void ThrowIfDisposed()
    {
        ObjectDisposedException.ThrowIf(_handle.IsDisposed, this);
        ObjectDisposedException.ThrowIf(ParameterSet.IsDisposed, ParameterSet);
    }

    internal void RequireGradients()
    {
        if (!ParameterSet.HasGradients)
        {
            throw new InvalidOperationException("The parameter set has no gradients; call its SetGradients first.");
        }
    }

    internal void RequireNotDisplaced()
    {
        if (ParameterSet.Handle.IsDisplaced)
        {
            throw new InvalidOperationException(
                "A DimerOptimizer has displaced the parameters; call its Step or Restore first.");
        }
    }

    private void RequireRole(StateRole role)
    {
        if (!Enum.IsDefined(role) || !_states.Includes(role, RoleMask()))
        {
            throw new ArgumentException(
                $"The rule \"{RuleName}\" with these options has no state {role}.", nameof(role));
        }
    }

    /// <summary>The native roles that a step needs, by bit.</summary>
    private uint RoleMask() => _handle.RoleMask(_stepHyperparameters, this);

    /// <summary>After a change that may need another state buffer.</summary>
    internal void ForgetThatStateIsReady() => _stateIsReady = false;

    /// <summary>Allocates the state buffers that the next step needs and that are not there yet.</summary>
    /// <param name="stream">The stream of the work that wrote the parameters.</param>
    internal void EnsureState(DeviceStream stream)
    {
        if (!_stateIsReady)
        {
            AllocateMissingState(stream);
        }
    }

    private void AllocateMissingState(DeviceStream stream)
    {
        // Two threads at the first step: which one may step is decided natively, but both come by here.
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            foreach (StateRole role in _states.Roles(RoleMask()))
            {
                if (!_handle.Buffers.IsBound((nopt_role)role))
                {
                    _handle.Buffers.Allocate(
                        (nopt_role)role, _states[role],
                        role == _states.MasterRole ? pointers => WriteMasterWeights(pointers, stream) : null);
                }
            }

            _stateIsReady = true;
        }
    }

    /// <summary>Writes what the parameters are to the buffers of master weights: remainders are zero then.</summary>
    private void WriteMasterWeights(ReadOnlySpan<nint> pointers, DeviceStream stream)
    {
        StateRole role = _states.MasterRole!.Value;
        BufferLayout masters = _states[role];
        int pieceLength = (int)Math.Min(TensorRef.MaxPieceLength, ParameterSet.TotalElementCount);
        float[] piece = new float[pieceLength];
        for (int tensor = 0; tensor < pointers.Length; tensor++)
        {
            TensorRef parameter = ParameterSet.GetParameter(tensor);
            TensorRef master = masters.At(tensor, pointers[tensor]);
            for (long done = 0; done < master.ElementCount; done += pieceLength)
            {
                TensorRef part = master.Slice(done, Math.Min(pieceLength, master.ElementCount - done));
                if (role == StateRole.MasterParam)
                {
                    parameter.Slice(done, part.ElementCount).CopyTo(piece.AsSpan(0, (int)part.ElementCount), stream);
                }

                fixed (float* host = piece)
                {
                    DeviceMemory.CopyAndWait(part.Device, (void*)part.Pointer, host, part.ByteCount, stream);
                }
            }
        }
    }
}
