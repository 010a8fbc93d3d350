using System.Globalization;
using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules;

/// <summary>
/// A TorchSharp optimizer whose <see cref="step"/> updates all parameters in one native call, on the parameters' own memory.
/// Everything that takes a TorchSharp optimizer takes it: schedulers, parameter groups, closures, state files.
/// </summary>
/// <remarks>
/// <para>
/// Parameters are float32, bfloat16 or float16, all on one device, each once. Errors name the parameter, by its name where the
/// optimizer was given named parameters.
/// </para>
/// <para>
/// Steps write to the parameters' memory and not through torch's operations. So autograd does not see that they changed: a
/// backward pass after the step must not use values of parameters that were saved before it, an error that torch would report
/// otherwise.
/// </para>
/// <para>
/// Steps of CUDA parameters are queued on the default stream, the one that TorchSharp uses. It serves one thread at a time.
/// </para>
/// </remarks>
public abstract partial class FusedOptimizer : OptimizerHelper
{
    private readonly RuleBinding _binding;
    private readonly StateAccess _access;
    private readonly StepOptions _stepOptions;
    private readonly GradientOptions? _gradientOptions;
    private readonly Dictionary<nint, string> _names;
    private readonly List<OptionGroup> _groups = [];
    private readonly List<ParameterWalk> _walks = [];
    private FusedParameter[] _fused = [];
    private ParameterState[] _states = [];
    private bool _isDisposed;

    /// <param name="binding">The rule, and how options and states are kept.</param>
    /// <param name="parameters">The groups.</param>
    /// <param name="defaults">What options of groups are where they are not set.</param>
    /// <param name="stepOptions">What steps do beyond TorchSharp's; null: nothing.</param>
    private protected FusedOptimizer(
        RuleBinding binding, ParameterSource parameters, TorchOptions defaults, StepOptions? stepOptions)
    {
        _binding = binding;
        _stepOptions = stepOptions ?? new StepOptions();
        _gradientOptions = _stepOptions.ToGradientOptions();
        _access = binding.StatesWith(_stepOptions.MasterWeights);
        _names = new Dictionary<nint, string>(parameters.Names);
        defaults.InitialLearningRate = defaults.LearningRate ?? 0;
        _defaults = defaults;
        _parameter_groups = [];
        foreach (TorchGroup group in parameters.Groups)
        {
            add_param_group(group);
        }
    }

    /// <summary>The rule, as the library describes it.</summary>
    public Rule Rule => _binding.Rule;

    /// <summary>The options that groups have where they set none.</summary>
    internal TorchOptions Defaults => _defaults;

    /// <summary>The groups themselves, which a <see cref="Dimer"/> shares.</summary>
    internal IList<TorchGroup> GroupList => _parameter_groups;

    /// <summary>Takes one step of all parameters that have a gradient.</summary>
    /// <param name="closure">Computes the loss and its gradients, before the step; null if they are there already.</param>
    /// <returns>What the closure returned, or null.</returns>
    /// <exception cref="InvalidOperationException">
    /// A parameter was disposed of, or the module has others by now: it was converted or moved after the optimizer was made.
    /// </exception>
    /// <exception cref="ArgumentException">
    /// An option is out of its range, groups differ where the rule needs them equal, or a gradient does not fit its parameter.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault, perhaps of earlier work.</exception>
    public override torch.Tensor? step(Func<torch.Tensor>? closure = null)
    {
        torch.Tensor? loss = null;
        if (closure is not null)
        {
            using (torch.enable_grad())
            {
                loss = closure();
            }
        }

        FusedCore core = PrepareStep();
        UseOwnGradientOptions(core);
        core.Optimizer.Step();
        FinishStep(core);
        return loss;
    }

    /// <summary>
    /// Adds a group of parameters, which begin without steps taken. Which parameters these are is decided now: the group's
    /// <c>Parameters</c> become a list, as in PyTorch.
    /// </summary>
    /// <param name="param_group">
    /// The group: of TorchSharp's class where TorchSharp has the optimizer, such as <c>TorchSharp.Modules.AdamW.ParamGroup</c>,
    /// and a <see cref="TorchSharp.FusedParamGroup"/> elsewhere. Options that are not set become the optimizer's.
    /// </param>
    /// <exception cref="ArgumentNullException"><paramref name="param_group"/> or its parameters are null.</exception>
    /// <exception cref="ArgumentException">
    /// A parameter cannot be stepped or is there already, the options are those of another optimizer, one is out of its range, or
    /// the group needs other states than the groups before it, as with amsgrad in one of them. Nothing was added.
    /// </exception>
    public override void add_param_group(TorchGroup param_group)
    {
        ArgumentNullException.ThrowIfNull(param_group);
        ArgumentNullException.ThrowIfNull(param_group.Parameters);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        int index = _groups.Count;
        param_group.Options ??= _binding.Options.Create();
        if (!_binding.Options.IsOwn(param_group.Options))
        {
            throw new ArgumentException(
                $"The options of group {index} are {param_group.Options.GetType().FullName}; those of {GetType().Name} are "
                + $"{_binding.OptionsName}.",
                nameof(param_group));
        }

        _binding.Options.Complete(param_group.Options, _defaults);
        OptionGroup group = new(_binding, index, param_group);
        IReadOnlyList<RuleState> needed = group.NeededStates();
        RequireSameStates(index, needed);
        IEnumerable<Parameter> source = param_group.Parameters;
        Parameter[] parameters = [.. source];
        FusedParameter[] added = MakeParameters(parameters, index);
        ParameterWalk walk = new(source, added);
        param_group.Parameters = parameters;
        param_group.InitialLearningRate = param_group.LearningRate;

        DropCore();
        _groups.Add(group);
        _walks.Add(walk);
        _parameter_groups.Add(param_group);
        _fused = [.. _fused, .. added];
        _states = [.. _states, .. added.Select(own => _access.Create(own.Tensor))];
        _stepCounts = [.. _stepCounts, .. new long[added.Length]];
        _runningScalars = [.. _states.Select(RunningScalarsOf)];
        for (int i = _fused.Length - added.Length; i < _fused.Length; i++)
        {
            _state[_fused[i].Handle] = _states[i];
            CompleteState(i, needed);
        }
    }

    /// <summary>Tells the options and states: the objects themselves, as TorchSharp does.</summary>
    /// <returns>The dictionary.</returns>
    /// <exception cref="InvalidOperationException">
    /// A parameter was disposed of, or the module has others by now. Or it is <see cref="SGD"/> with maximize and momentum, whose
    /// states have the other sign in TorchSharp.
    /// </exception>
    public override StateDictionary state_dict()
    {
        RequireSameParameters();
        RequireTorchSigns();
        FetchProgress();
        for (int i = 0; _access is TorchStateAccess && i < _states.Length; i++)
        {
            CompleteForTorch(_states[i], _groups[_fused[i].Group].Group.Options);
        }

        return base.state_dict();
    }

    /// <summary>Copies the options and states of another optimizer of the same kind, TorchSharp's own included.</summary>
    /// <param name="state_dict">What the other optimizer's <c>state_dict</c> returned.</param>
    /// <exception cref="ArgumentNullException"><paramref name="state_dict"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// It has more or fewer groups or parameters, is of another kind of optimizer, or a tensor has another shape. Nothing was
    /// changed.
    /// </exception>
    public override void load_state_dict(StateDictionary state_dict)
    {
        ArgumentNullException.ThrowIfNull(state_dict);
        RequireCount(state_dict.Options.Count, _groups.Count, "parameter groups");
        RequireCount(state_dict.State.Count, _fused.Length, "parameters");
        for (int i = 0; i < _groups.Count; i++)
        {
            if (!_binding.Options.IsOwn(state_dict.Options[i]))
            {
                throw new ArgumentException(
                    $"The options of group {i} are {state_dict.Options[i].GetType().FullName}, but those of {GetType().Name} are "
                    + $"{_binding.OptionsName}.",
                    nameof(state_dict));
            }
        }

        for (int i = 0; i < _fused.Length; i++)
        {
            RequireFitting(state_dict.State[i], _fused[i]);
        }

        FetchProgress(); // What is loaded then counts, and not what the library's optimizer has counted.
        for (int i = 0; i < _groups.Count; i++)
        {
            if (state_dict.Options[i] != _groups[i].Group.Options)
            {
                _groups[i].Group.Options.LoadStateDict(state_dict.Options[i]);
            }
        }

        for (int i = 0; i < _fused.Length; i++)
        {
            CopyState(state_dict.State[i], i);
        }
    }

    /// <summary>Sets the gradients of all parameters to zero; those that are null stay so.</summary>
    public override void zero_grad()
    {
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            foreach (FusedParameter own in _fused)
            {
                own.RequireValid();
                own.Tensor.grad?.zero_();
            }
        }
    }

    /// <summary>
    /// Has the next step begin from the parameters as they are, with <see cref="StepOptions.MasterWeights"/>: for after a change
    /// of parameters from outside, such as loading a module.
    /// </summary>
    /// <exception cref="InvalidOperationException">The optimizer has no master weights.</exception>
    public void reset_master_weights()
    {
        if (!_stepOptions.MasterWeights)
        {
            throw new InvalidOperationException("The optimizer was made without master weights (StepOptions.MasterWeights).");
        }

        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            for (int i = 0; i < _fused.Length; i++)
            {
                _access.Get(_states[i], MasterIndex)?.copy_(_fused[i].Tensor);
            }
        }
    }

    /// <summary>
    /// Tells what became of the gradients, as of the newest finished step: their norm before clipping, the factor of clipping, and
    /// the skipped steps. All of it is 0 or false where no option needs it. Skipped steps are counted anew after a change of groups,
    /// flags or states, and after a step of another kind: with a <see cref="GradScaler"/>, or without one.
    /// </summary>
    /// <returns>The status.</returns>
    public GradientStatus gradient_status() => _core?.Optimizer.GetGradientStatus() ?? default;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing || _isDisposed)
        {
            return;
        }

        _isDisposed = true;
        DropCore();
        FreeInputs();
        for (int i = 0; i < _fused.Length; i++)
        {
            (_states[i] as IDisposable)?.Dispose();
            _fused[i].Free();
        }
    }

    /// <summary>Writes into a state of TorchSharp's class what follows from the step count and the options, and is no state here.</summary>
    private protected virtual void CompleteForTorch(ParameterState state, TorchOptions options)
    {
    }

    /// <summary>Throws unless the parameters are valid, and still those of the module where it can be asked.</summary>
    private void RequireSameParameters()
    {
        for (int group = 0; group < _walks.Count; group++)
        {
            if (_walks[group].FindReplaced() is { } replaced)
            {
                throw new InvalidOperationException(
                    $"The parameters of group {group} are not those that the optimizer was made with, beginning with "
                    + $"{replaced.Name}: the module was converted or moved (to, half, cuda), or it got others in their place. Make "
                    + "the optimizer after that.");
            }
        }

        foreach (FusedParameter own in _fused)
        {
            own.RequireValid();
        }
    }

    /// <summary>Throws if a group to be added needs other states than the groups that are there.</summary>
    private void RequireSameStates(int index, IReadOnlyList<RuleState> needed)
    {
        if (_groups.Count == 0)
        {
            return;
        }

        _groups[0].Read();
        IReadOnlyList<RuleState> first = _groups[0].NeededStates();
        if (!first.Select(static state => state.Index).SequenceEqual(needed.Select(static state => state.Index)))
        {
            throw new ArgumentException(
                $"Group {index} needs {NamesOf(needed)}, but group 0 needs {NamesOf(first)}: all groups of an optimizer keep the "
                + "same states. Give them the same flags, and a momentum above 0 to all or none, or make an optimizer for each.");
        }

        static string NamesOf(IReadOnlyList<RuleState> states) =>
            states.Count == 0 ? "no state" : "the states " + string.Join(", ", states.Select(static state => state.Name));
    }

    private FusedParameter[] MakeParameters(IEnumerable<Parameter> parameters, int group)
    {
        List<FusedParameter> added = [];
        Dictionary<nint, string> known = _fused.ToDictionary(static own => own.Handle, static own => own.Name);
        HashSet<string> names = [.. known.Values];
        foreach (Parameter parameter in parameters)
        {
            int index = _fused.Length + added.Count;
            if (parameter is null)
            {
                throw new ArgumentException($"Parameter {index} is null.", nameof(parameters));
            }

            string name = string.Create(CultureInfo.InvariantCulture, $"{index}");
            if (!parameter.IsInvalid && _names.TryGetValue(parameter.Handle, out string? given) && !names.Contains($"\"{given}\""))
            {
                name = $"\"{given}\""; // Of parameters with equal names, those of two modules, the first has it.
            }

            if (!parameter.IsInvalid && known.TryGetValue(parameter.Handle, out string? before))
            {
                throw new ArgumentException(
                    $"The parameter {before} is there twice, in group {group} the second time; each is stepped once.",
                    nameof(parameters));
            }

            FusedParameter own = new(parameter, name, group);
            FusedParameter first = _fused.Length > 0 ? _fused[0] : added.Count > 0 ? added[0] : own;
            if (own.Device != first.Device)
            {
                throw new ArgumentException(
                    $"The parameter {own.Name} is on {own.Device}, but {first.Name} is on {first.Device}; make an optimizer for "
                    + "each device.",
                    nameof(parameters));
            }

            added.Add(own);
            names.Add(name);
            known.Add(own.Handle, own.Name);
        }

        return [.. added];
    }

    private void RequireFitting(ParameterState state, FusedParameter parameter)
    {
        if (!_access.IsOwn(state))
        {
            throw new ArgumentException(
                $"The state of the parameter {parameter.Name} is {state?.GetType().FullName ?? "null"}, not that of "
                + $"{GetType().Name} with these StepOptions.");
        }

        for (int i = 0; i < TensorCount; i++)
        {
            if (_access.Get(state, i) is { } tensor && !parameter.HasShapeOf(tensor))
            {
                throw new ArgumentException(
                    $"A state of the parameter {parameter.Name} has the shape [{string.Join(", ", tensor.shape)}], but the "
                    + $"parameter has [{string.Join(", ", parameter.Tensor.shape)}].");
            }
        }
    }

    private static void RequireCount(int count, int expected, string what)
    {
        if (count != expected)
        {
            throw new ArgumentException($"The state has {count} {what}, but the optimizer has {expected}.");
        }
    }
}
