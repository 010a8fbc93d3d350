using System.Runtime.CompilerServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// An update rule over a <see cref="NativeOpt.ParameterSet"/>: <see cref="Step()"/> updates all of its parameters from
/// their gradients in one native call.
/// </summary>
/// <remarks>
/// <para>
/// State buffers (moments, momentum) are allocated on the set's device at the first step or at the first call that needs
/// them, and are filled with what the rule says (<see cref="RuleState.InitialValue"/>).
/// <see cref="BindState(StateRole, ReadOnlySpan{nint})"/> before that gives the host's own. A set has one optimizer at a time.
/// </para>
/// <para>
/// With <see cref="OptimizerOptions.MasterWeights"/> the parameters are what the optimizer's own, longer numbers round to.
/// These begin as the parameters are when the states are allocated, at the first step, <see cref="GetState"/> or <c>Save</c>. A
/// host that writes parameters after that (loads a checkpoint, averages them) calls <see cref="ResetMasterWeights"/>, or the next
/// step goes on from the old ones; <see cref="FindStaleMasterWeights"/> says where that is so.
/// </para>
/// <para>
/// For equal inputs a step gives the same bits on every device, instruction set and number of threads. It allocates nothing
/// and on CUDA does not wait for the device. It serves one thread at a time, together with its set.
/// </para>
/// <para>
/// Tensors may be in groups (<see cref="TensorOptions.Group"/>) with hyperparameters and step counts of their own
/// (<see cref="Groups"/>), which are still stepped together, in one native call. The optimizer's own properties are those of
/// group 0. To add or to remove tensors or groups between steps, make another set and another optimizer, and call its
/// <see cref="TakeOver"/>.
/// </para>
/// <para>
/// The step count belongs to the tensor: in a step in which it has no gradient, a tensor does not step, and its count
/// (<see cref="GetStepCount"/>) and its running scalars stay.
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
    private readonly MasterWeights _masterWeights;
    private readonly StateLayouts _states;
    private readonly OptimizerGroup[] _groups;
    private readonly nopt_hyperparams[] _stepHyperparameters;
    private readonly bool _stepsAreShort;
    private readonly HashSet<StateRole> _idleStates = []; // begin anew when steps need them again
    private volatile bool _stateIsReady;

    private protected Optimizer(ParameterSet parameters, IReadOnlyList<OptimizerOptions> options)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(options);
        _groups = MakeGroups(options);
        options[0].ValidateTypes(parameters.ParameterLayout, tensor => parameters.Names[tensor], nameof(options));
        StateLayouts states = new(parameters.ParameterLayout, options[0], parameters.StateTypes);
        states.RequireTypes(_groups[0].Hyperparameters, nameof(options));
        parameters.RequireGroups(options.Count, nameof(options));
        ParameterSet = parameters;
        _masterWeights = options[0].MasterWeights; // the same in all groups
        _states = states;
        _masterWeightsAreUnchecked = states.MasterRole == StateRole.MasterParam;
        _stepsAreShort = parameters.Device.Backend == Backend.Cpu
            && parameters.TotalElementCount <= MaxElementsOfShortSteps && parameters.Count <= MaxTensorsOfShortSteps;
        _stepHyperparameters = GC.AllocateArray<nopt_hyperparams>(options.Count, pinned: true);
        StepHyperparameters = (nopt_hyperparams*)Unsafe.AsPointer(ref _stepHyperparameters[0]);
        foreach (OptimizerGroup group in _groups)
        {
            WriteStepHyperparameters(group.Index, group.Hyperparameters);
        }

        _handle = new OptimizerHandle(parameters, Rule, _states, options.Count);
    }

    /// <summary>The tensors.</summary>
    public ParameterSet ParameterSet { get; }

    /// <summary>The update rule, as the native library describes it.</summary>
    public Rule Rule => _states.Rule;

    /// <summary>The native library's name of the update rule.</summary>
    public string RuleName => Rule.Name;

    /// <summary>
    /// The groups of hyperparameters, at least one; each one's index is the <see cref="TensorOptions.Group"/> of its tensors.
    /// </summary>
    public abstract IReadOnlyList<OptimizerGroup> Groups { get; }

    /// <summary>The learning rate of group 0, 0 to 1e22; may change between steps.</summary>
    /// <inheritdoc cref="OptimizerGroup.LearningRate" path="/exception"/>
    public double LearningRate
    {
        get => _groups[0].LearningRate;
        set => _groups[0].LearningRate = value;
    }

    /// <summary>
    /// The weight decay of tensors of group 0 that have none of their own, 0 to 1e16; may change between steps.
    /// </summary>
    /// <inheritdoc cref="OptimizerGroup.WeightDecay" path="/exception"/>
    public double WeightDecay
    {
        get => _groups[0].WeightDecay;
        set => _groups[0].WeightDecay = value;
    }

    internal OptimizerHandle Handle => _handle;

    internal bool IsDisposed => _handle.IsDisposed || ParameterSet.IsDisposed;

    internal int GroupCount => _groups.Length;

    /// <summary>
    /// What native steps are given: <see cref="GroupCount"/> structs, one after another, in memory that stays where it is as
    /// long as the optimizer is alive. A step has only to pass it on.
    /// </summary>
    internal nopt_hyperparams* StepHyperparameters { get; }

    /// <summary>Takes over what a group's later steps use.</summary>
    internal void WriteStepHyperparameters(int group, in nopt_hyperparams hyperparameters)
    {
        StepHyperparameters[group] = hyperparameters;
        if (IsCapturable)
        {
            StepHyperparameters[group].values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR] = NativeMethods.NOPT_LR_ON_DEVICE;
        }
    }

    /// <summary>Takes one step of all tensors that have a gradient, on the default stream.</summary>
    /// <inheritdoc cref="Step(DeviceStream)" path="/exception"/>
    public void Step() => Step(DeviceStream.Default);

    /// <summary>
    /// Takes one step of all tensors that have a gradient: it reads the gradients and the rule's inputs, updates the parameters
    /// and the states, and counts the step. On CUDA it is queued on the stream, after the work that computes the gradients if
    /// that is queued there, too.
    /// </summary>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <exception cref="InvalidOperationException">
    /// The set has no gradients yet, a <see cref="DimerOptimizer"/> has displaced the parameters, or it is the first step of all or
    /// after a load, and a parameter is not what its master weight rounds to (<see cref="FindStaleMasterWeights"/>).
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
        EnsureState(stream, isForStep: true);
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

    /// <summary>
    /// Frees the state buffers that the optimizer allocated, after a step that another thread is in; on CUDA it waits for the
    /// device's work. The set can have another optimizer then. Further calls do nothing.
    /// </summary>
    public void Dispose()
    {
        _handle.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>A group for each of the options, checked.</summary>
    private OptimizerGroup[] MakeGroups(IReadOnlyList<OptimizerOptions> options)
    {
        if (options.Count < 1)
        {
            throw new ArgumentException("options has no entries; it must have one for each group.", nameof(options));
        }

        OptimizerGroup[] groups = new OptimizerGroup[options.Count];
        for (int group = 0; group < groups.Length; group++)
        {
            OptimizerOptions own =
                options[group] ?? throw new ArgumentException($"options[{group}] is null.", nameof(options));
            string where = groups.Length == 1 ? "" : $"options[{group}].";
            HyperparameterValues values = own.Values(where, nameof(options));
            groups[group] = own.MakeGroup(this, group, values);
            own.RequireLike(options[0], group, nameof(options));
            values.RequireSameStates(groups[0].Values, group);
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
}
