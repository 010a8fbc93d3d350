using System.Runtime.CompilerServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// A group of tensors of an optimizer (<see cref="TensorOptions.Group"/>) and what it has of its own: hyperparameters that may
/// change between steps, a step count and the rule's running scalars.
/// </summary>
/// <remarks>
/// The step count belongs to the tensor: a tensor that has no gradient in a step does not take that step. The group's own
/// count is that of a tensor which has had a gradient in every step. To set the count or a running scalar of the group is to
/// set it for all of the group's tensors, too.
/// </remarks>
public unsafe class OptimizerGroup
{
    internal const long MaxStepCount = 1L << 53;

    private const string Beta1ProductName = "beta1_product";
    private const string Beta2ProductName = "beta2_product";

    private readonly Optimizer _optimizer;
    private readonly HyperparameterValues _values;
    private nopt_hyperparams _hyperparameters;

    internal OptimizerGroup(Optimizer optimizer, int index, HyperparameterValues values)
    {
        _optimizer = optimizer;
        _values = values;
        _hyperparameters = values.Native;
        Index = index;
    }

    /// <summary>The group's place among <see cref="Optimizer.Groups"/>, which is the <see cref="TensorOptions.Group"/> of its tensors.</summary>
    public int Index { get; }

    /// <summary>The learning rate, 0 to 1e22. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="InvalidOperationException">
    /// The optimizer is capturable: <see cref="SetLearningRate"/> also tells the device.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double LearningRate
    {
        get => _hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR];
        set => Set("lr", value);
    }

    /// <summary>The weight decay of tensors that have none of their own, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double WeightDecay
    {
        get => _hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_WEIGHT_DECAY];
        set => Set("weight_decay", value);
    }

    /// <summary>Whether to ascend: the gradient's sign is flipped before anything else. It may change between steps.</summary>
    /// <exception cref="ArgumentException">The rule does not know it, and it is set all the same.</exception>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool Maximize
    {
        get => HasFlag("maximize");
        set => SetFlagOf("maximize", value);
    }

    /// <summary>
    /// Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient. It may change between
    /// steps.
    /// </summary>
    /// <inheritdoc cref="Maximize" path="/exception"/>
    public bool DecoupledWeightDecay
    {
        get => HasFlag("decoupled_weight_decay");
        set => SetFlagOf("decoupled_weight_decay", value);
    }

    /// <summary>
    /// Whether the bias of moments at step t is corrected by β^t with the β of this step, as torch does, and not by the product of
    /// the βs of all steps. It may change between steps, from the next one on.
    /// </summary>
    /// <inheritdoc cref="Maximize" path="/exception"/>
    public bool BiasCorrectionByPower
    {
        get => HasFlag("bias_correction_by_power");
        set => SetFlagOf("bias_correction_by_power", value);
    }

    /// <summary>A hyperparameter by the name that the rule describes, for example "beta1". It may change between steps.</summary>
    /// <param name="hyperparameter">The name; see <see cref="Rule.Hyperparameters"/>, which has the ranges, too.</param>
    /// <exception cref="ArgumentException">
    /// The rule has no such hyperparameter, a flag needs it above 0, or the value would change which states there are, and the
    /// optimizer has several groups or may not have such a state.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="InvalidOperationException">
    /// It is the learning rate of a capturable optimizer: <see cref="SetLearningRate"/> also tells the device.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double this[string hyperparameter]
    {
        get => _hyperparameters.values[_values.Rule.GetHyperparameter(hyperparameter, nameof(hyperparameter)).Index];
        set
        {
            _ = _values.Rule.GetHyperparameter(hyperparameter, nameof(hyperparameter));
            Set(hyperparameter, value, hyperparameter);
        }
    }

    /// <summary>
    /// The steps that the group has taken, t; 0 before the first. To be set only to resume: the running scalars become those
    /// of so many steps with the present hyperparameters, and all of the group's tensors count the same.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative or above 2^53.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long StepCount
    {
        get => StepState.step;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxStepCount);
            StepState = _values.Rule.StateAfter(_hyperparameters, value);
        }
    }

    /// <summary>
    /// The product of beta1 over all steps taken, in [0, 1), for bias correction; 1 before the first step and for rules that
    /// have none. To be set only to resume, after <see cref="StepCount"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not in [0, 1].</exception>
    /// <exception cref="ArgumentException">The value is impossible after so many steps, or the rule has no such product.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1Product
    {
        get => GetProduct(Beta1ProductName);
        set => SetProduct(Beta1ProductName, value, nameof(Beta1Product));
    }

    /// <summary>The product of beta2 over all steps taken; see <see cref="Beta1Product"/>.</summary>
    /// <inheritdoc cref="Beta1Product" path="/exception"/>
    public double Beta2Product
    {
        get => GetProduct(Beta2ProductName);
        set => SetProduct(Beta2ProductName, value, nameof(Beta2Product));
    }

    /// <summary>What the group's next step uses.</summary>
    internal ref readonly nopt_hyperparams Hyperparameters => ref _hyperparameters;

    internal nopt_step_state StepState
    {
        get
        {
            _optimizer.ThrowIfDisposed();
            nopt_step_state state = new() { struct_size = (uint)sizeof(nopt_step_state) };
            using HandleLease lease = new(_optimizer.Handle, _optimizer);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_get_group_state((nopt_optimizer*)lease.Pointer, Index, &state));
            return state;
        }

        set
        {
            _optimizer.ThrowIfDisposed();
            using HandleLease lease = new(_optimizer.Handle, _optimizer);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_set_group_state((nopt_optimizer*)lease.Pointer, Index, &value));
        }
    }

    /// <summary>Says whether a flag of the rule is set.</summary>
    /// <param name="flag">The name; see <see cref="Rule.Flags"/>.</param>
    /// <returns>True if it is set; false if it is not, or the rule has no such flag.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="flag"/> is null.</exception>
    public bool HasFlag(string flag)
    {
        ArgumentNullException.ThrowIfNull(flag);
        return _values.Rule.FindFlag(flag) is { } known && (_hyperparameters.flags & known.Bit) != 0;
    }

    /// <summary>Sets or clears a flag of the rule, from the next step on.</summary>
    /// <param name="flag">The name, for example "maximize"; see <see cref="Rule.Flags"/>.</param>
    /// <param name="isSet">Whether it is on.</param>
    /// <remarks>
    /// A flag may lead to a state that was not there before, as "amsgrad" does. The optimizer allocates it at the next step, with
    /// its <see cref="RuleState.InitialValue"/>, or the host has bound it before
    /// (<see cref="Optimizer.BindState(StateRole, ReadOnlySpan{nint})"/>). A state that a cleared flag no longer needs is in no
    /// file. If the flag is set again, the state begins anew with its initial value, unless the host has bound it since.
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="flag"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such flag, the flag needs a hyperparameter above 0, it says what is rounded at random
    /// ("stochastic_rounding", "stochastic_rounding_states"), which is chosen when the optimizer is made, or it leads to another set of states, and the optimizer has several groups
    /// (<see cref="Optimizer.SetFlag"/> changes all of them) or may not have such a state.
    /// </exception>
    /// <exception cref="InvalidOperationException">
    /// The flag leads to a state that is not bound, while other states are the host's; or a <see cref="DimerOptimizer"/> has
    /// displaced the parameters.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void SetFlag(string flag, bool isSet) => ChangeFlag(flag, isSet, nameof(flag), flag);

    /// <summary>Tells a running scalar of the group by the name that the rule describes.</summary>
    /// <param name="name">The name, for example "beta1_product"; see <see cref="Rule.RunningScalars"/>.</param>
    /// <returns>The number.</returns>
    /// <exception cref="ArgumentException">The rule has no such running scalar.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double GetRunningScalar(string name) => StepState.running[_values.Rule.GetRunningScalar(name).Index];

    /// <summary>
    /// Sets a running scalar of the group and of all its tensors, to resume. <see cref="StepCount"/> is set before, since it
    /// sets all of them.
    /// </summary>
    /// <param name="name">The name; see <see cref="Rule.RunningScalars"/>.</param>
    /// <param name="value">The number.</param>
    /// <exception cref="ArgumentException">The rule has no such running scalar, or the value is impossible after so many steps.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void SetRunningScalar(string name, double value)
    {
        int index = _values.Rule.GetRunningScalar(name).Index;
        nopt_step_state state = StepState;
        state.running[index] = value;
        StepState = state;
    }

    /// <summary>
    /// Sets <see cref="LearningRate"/>. Where the optimizer is capturable, the device is told, too, for the steps and replays
    /// that the stream is given from now on.
    /// </summary>
    /// <param name="learningRate">The learning rate, 0 to 1e22.</param>
    /// <param name="stream">The stream of the steps.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="learningRate"/> is out of range.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void SetLearningRate(double learningRate, DeviceStream stream = default)
    {
        _optimizer.ThrowIfDisposed();
        Hyperparameter rate = _values.Rule.Hyperparameters[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR];
        rate.Require(learningRate, nameof(LearningRate), nameof(learningRate));
        if (_optimizer.IsCapturable)
        {
            SendLearningRate(learningRate, stream);
        }

        nopt_hyperparams changed = _hyperparameters;
        changed.values[rate.Index] = learningRate;
        Write(changed);
    }

    /// <summary>Tells the device the learning rate of a capturable optimizer.</summary>
    internal void SendLearningRate(double learningRate, DeviceStream stream)
    {
        using HandleLease lease = new(_optimizer.Handle, _optimizer);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_optimizer_set_group_lr(
                (nopt_optimizer*)lease.Pointer, Index, learningRate, (void*)stream.Pointer));
        stream.KeepAlive();
    }

    /// <summary>What users call a hyperparameter or a flag of the group.</summary>
    internal HyperparameterValues Values => _values;

    /// <summary>Sets a hyperparameter, after checking all that depends on it.</summary>
    /// <param name="name">The rule's name of it.</param>
    /// <param name="value">The value.</param>
    /// <param name="property">What messages call it.</param>
    private protected void Set(string name, double value, [CallerMemberName] string property = "")
    {
        Hyperparameter own = _values.Rule.GetHyperparameter(name);
        RequireValue(own, value, property, nameof(value));
        nopt_hyperparams changed = _hyperparameters;
        changed.values[own.Index] = value;
        if (own.SelectsStates && RequireChange(changed, _optimizer.GroupCount == 1, property, nameof(value)))
        {
            _optimizer.ChangeStates(changed);
        }

        Write(changed);
    }

    /// <summary>Sets or clears a flag that a property stands for.</summary>
    /// <param name="name">The rule's name of it.</param>
    /// <param name="value">Whether it is on.</param>
    /// <param name="property">What messages call it.</param>
    /// <remarks>A flag that the rule does not know is off, and may be cleared.</remarks>
    private protected void SetFlagOf(string name, bool value, [CallerMemberName] string property = "")
    {
        if (value || _values.Rule.FindFlag(name) is not null)
        {
            ChangeFlag(name, value, nameof(value), property);
        }
    }

    /// <summary>Throws unless the optimizer can take a value of a hyperparameter from the host.</summary>
    internal void RequireValue(Hyperparameter own, double value, string what, string paramName)
    {
        _optimizer.ThrowIfDisposed();
        if (own.Index == (int)nopt_hyperparam.NOPT_HYPERPARAM_LR && _optimizer.IsCapturable)
        {
            throw new InvalidOperationException(
                "The optimizer is capturable, its learning rate on the device; call SetLearningRate(value, stream).");
        }

        own.Require(value, what, paramName);
    }

    /// <summary>The group's flags with one of them set or cleared, after checking that it may change.</summary>
    internal nopt_hyperparams WithFlag(RuleFlag flag, bool isSet, string what, string paramName)
    {
        _optimizer.ThrowIfDisposed();
        _optimizer.RequireNotDisplaced();
        nopt_hyperparams changed = _hyperparameters;
        changed.flags = isSet ? changed.flags | flag.Bit : changed.flags & ~flag.Bit;
        if (flag.RoundsAtRandom && changed.flags != _hyperparameters.flags)
        {
            throw new ArgumentException(
                $"{what} is chosen when the optimizer is made, together with its seed: "
                + $"{nameof(OptimizerOptions)}.{nameof(OptimizerOptions.StochasticRounding)} and "
                + $"{nameof(OptimizerOptions.StochasticRoundingStates)}.",
                paramName);
        }

        return changed;
    }

    /// <summary>Throws unless the group may change to other hyperparameters and flags.</summary>
    /// <param name="changed">What it changes to.</param>
    /// <param name="changesStates">Whether other states may be needed, since all groups change together.</param>
    /// <param name="what">What changes, for messages.</param>
    /// <param name="paramName">The argument that it comes from.</param>
    /// <returns>Whether other states are needed.</returns>
    internal bool RequireChange(in nopt_hyperparams changed, bool changesStates, string what, string paramName)
    {
        _values.RequireWhatFlagsNeed(changed, "", paramName);
        Rule rule = _values.Rule;
        bool isOther = false;
        for (int i = 0; i < rule.States.Count; i++)
        {
            RuleState state = rule.States[i];
            bool isNeeded = rule.HasState(state, changed);
            if (isNeeded == rule.HasState(state, _hyperparameters))
            {
                continue;
            }

            isOther = true;
            if (!changesStates)
            {
                throw new ArgumentException(
                    $"{what} of group {Index} alone cannot change so: the state {state.Name} depends on it, which all groups have "
                    + $"or none has. Change all groups at once, with {nameof(Optimizer)}.{nameof(Optimizer.SetFlag)} or "
                    + $"{nameof(Optimizer.SetHyperparameter)}, or make an optimizer of its own for the group's tensors.",
                    paramName);
            }

            if (isNeeded)
            {
                _optimizer.RequireNewState(state, what, paramName);
            }
        }

        return isOther;
    }

    /// <summary>Takes over what was checked before.</summary>
    internal void Write(in nopt_hyperparams changed)
    {
        _hyperparameters = changed;
        _optimizer.WriteStepHyperparameters(Index, _hyperparameters);
    }

    private void ChangeFlag(string name, bool isSet, string paramName, string property)
    {
        RuleFlag flag = _values.Rule.GetFlag(name, paramName);
        nopt_hyperparams changed = WithFlag(flag, isSet, property, paramName);
        if (RequireChange(changed, _optimizer.GroupCount == 1, property, paramName))
        {
            _optimizer.ChangeStates(changed);
        }

        Write(changed);
    }

    private double GetProduct(string name)
    {
        nopt_step_state state = StepState;
        return _values.Rule.FindRunningScalar(name) is { } product ? state.running[product.Index] : 1;
    }

    private void SetProduct(string name, double value, string property)
    {
        _optimizer.ThrowIfDisposed();
        Check.Product(value, property, nameof(value));
        if (value != 1 || _values.Rule.FindRunningScalar(name) is not null)
        {
            SetRunningScalar(name, value);
        }
    }
}
