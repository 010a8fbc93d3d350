using global::TorchSharp;

namespace NativeOpt.TorchSharp.Modules;

// What a step needs: state tensors, step counts, and the library's optimizer over them.
public abstract partial class FusedOptimizer
{
    // Walking a module's parameters allocates, so that it is not done in every step.
    private const int StepsBetweenWalks = 64;

    private FusedCore? _core;
    private torch.Tensor?[] _bound = [];
    private long[] _stepCounts = [];
    private double[][] _runningScalars = []; // by parameter
    private int _stepsUntilWalk;

    private int TensorCount => Rule.States.Count + (_stepOptions.MasterWeights ? 1 : 0);

    private int MasterIndex => Rule.States.Count;

    /// <summary>What a step calls first: sees to the library's optimizer and gives it the gradients.</summary>
    internal FusedCore PrepareStep()
    {
        FusedCore core = PrepareCore();
        CollectGradients();
        return core;
    }

    /// <summary>Sees to it that the library's optimizer is as TorchSharp's objects say.</summary>
    internal FusedCore PrepareCore()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_stepsUntilWalk-- <= 0)
        {
            RequireSameParameters();
            _stepsUntilWalk = StepsBetweenWalks - 1;
        }

        bool needsRebuild = false;
        foreach (OptionGroup group in _groups)
        {
            needsRebuild |= group.Read();
        }

        if (_core is null || needsRebuild || !IsAsBound())
        {
            Rebuild();
        }
        else
        {
            foreach (OptionGroup group in _groups)
            {
                group.Take(_core.Optimizer.Groups[group.Index]);
            }
        }

        return _core!;
    }

    /// <summary>Gives the library's optimizer the gradients that the parameters have now.</summary>
    internal void CollectGradients()
    {
        GiveInputs();
        _core!.CollectGradients(_fused);
    }

    /// <summary>As <see cref="CollectGradients"/>, for a dimer, which needs the gradient of every parameter.</summary>
    /// <exception cref="InvalidOperationException">A parameter has none.</exception>
    internal void CollectAllGradients()
    {
        CollectGradients();
        int missing = _core!.HasGradient.IndexOf(false);
        if (missing >= 0)
        {
            throw new InvalidOperationException(
                $"The parameter {_fused[missing].Name} has no gradient, but a dimer needs that of every parameter. Have the loss "
                + "depend on it, or leave it out of the optimizer.");
        }
    }

    /// <summary>
    /// Has the next step do with the gradients what <see cref="StepOptions"/> say, and not what a <see cref="GradScaler"/> had the
    /// last one do.
    /// </summary>
    internal void UseOwnGradientOptions(FusedCore core)
    {
        if (!ReferenceEquals(core.Optimizer.GradientOptions, _gradientOptions))
        {
            core.Optimizer.GradientOptions = _gradientOptions;
        }
    }

    /// <summary>Counts a step that was taken.</summary>
    internal void FinishStep(FusedCore core)
    {
        ForgetInputs();
        if (core.Optimizer.IsCapturable)
        {
            return; // The device decides whether the step was taken, and counts.
        }

        if (core.Optimizer.GradientOptions is { SkipNonFinite: true } && core.Optimizer.GetGradientStatus().Skipped)
        {
            return;
        }

        ReadOnlySpan<bool> stepped = core.HasGradient;
        for (int i = 0; i < stepped.Length; i++)
        {
            if (stepped[i])
            {
                _access.SetStepCount(_states[i], ++_stepCounts[i]);
            }
        }
    }

    /// <summary>Whether the library's optimizer still has the parameters and states that TorchSharp's objects have.</summary>
    private bool IsAsBound()
    {
        int next = 0;
        for (int i = 0; i < _states.Length; i++)
        {
            for (int state = 0; state < TensorCount; state++, next++)
            {
                if (!ReferenceEquals(_access.Get(_states[i], state), _bound[next]))
                {
                    return false;
                }
            }

            if (_access.HasStepCount && _access.GetStepCount(_states[i]) != _stepCounts[i])
            {
                return false;
            }

            for (int scalar = 0; scalar < _runningScalars[i].Length; scalar++)
            {
                if (!_access.GetRunningScalar(_states[i], scalar).Equals(_runningScalars[i][scalar]))
                {
                    return false;
                }
            }
        }

        return _core!.HasParametersOf(_fused);
    }

    /// <summary>Makes the library's optimizer anew, over the tensors as they are.</summary>
    private void Rebuild()
    {
        FetchProgress();
        IReadOnlyList<RuleState>[] needed = [.. _groups.Select(static group => group.NeededStates())];
        long[] counts = new long[_fused.Length];
        torch.Tensor?[] bound = new torch.Tensor?[_fused.Length * TensorCount];
        for (int i = 0; i < _fused.Length; i++)
        {
            _fused[i].RequireValid();
            CompleteState(i, needed[_fused[i].Group]);
            counts[i] = _access.HasStepCount ? _access.GetStepCount(_states[i]) : _stepCounts[i];
            for (int state = 0; state < TensorCount; state++)
            {
                bound[(i * TensorCount) + state] = _access.Get(_states[i], state);
            }
        }

        bool hasMasters = _stepOptions.MasterWeights && Array.Exists(_fused, static own => own.DType != DType.Float32);
        RuleOptions[] options =
            [.. _groups.Select(group => group.ToRuleOptions(hasMasters ? MasterWeights.Float32 : MasterWeights.None, _stepOptions))];
        Dictionary<StateRole, torch.Tensor?[]> roles = options[0].GetStates().ToDictionary(
            static state => state.Role, state => TensorsOf(bound, state.Index));
        if (hasMasters)
        {
            roles.Add(StateRole.MasterParam, TensorsOf(bound, MasterIndex));
        }

        double[][] running = [.. _states.Select(RunningScalarsOf)];
        FusedCore core = new(_fused, options, roles, counts, RunningScalarsByName(running, counts));
        if (_stepOptions.SkipNonFinite && core.Optimizer.ParameterSet.Device.Backend == Backend.Cuda)
        {
            core.Optimizer.SetCapturable(true); // The device decides whether a step is skipped, and counts it.
        }

        core.Optimizer.GradientOptions = _gradientOptions;
        if (hasMasters)
        {
            RequireMasterWeights(core);
        }

        DropCore();
        _core = core;
        _bound = bound;
        _stepCounts = counts;
        _runningScalars = running;
        FetchProgress(); // The running scalars that follow from the step counts.
        foreach (OptionGroup group in _groups)
        {
            group.Take();
        }
    }

    /// <summary>Throws, and drops the core, if a parameter is not what its master weight rounds to.</summary>
    private void RequireMasterWeights(FusedCore core)
    {
        if (core.Optimizer.FindStaleMasterWeights() is [var stale, ..])
        {
            core.Dispose();
            throw new InvalidOperationException(
                $"The parameter {_fused[stale].Name} is not what its master weight rounds to: one of them was written or loaded without "
                + "the other, and the step would overwrite the parameter. Call reset_master_weights to go on from the parameters, or "
                + "load those that belong to the master weights.");
        }
    }

    private torch.Tensor?[] TensorsOf(torch.Tensor?[] bound, int state) =>
        [.. Enumerable.Range(0, _fused.Length).Select(i => bound[(i * TensorCount) + state])];

    /// <summary>Sees to it that a parameter has the state tensors that its group's options need, in the parameter's layout.</summary>
    private void CompleteState(int index, IReadOnlyList<RuleState> needed)
    {
        FusedParameter own = _fused[index];
        ParameterState state = _states[index];
        foreach (RuleState role in needed)
        {
            torch.Tensor? tensor = _access.Get(state, role.Index);
            if (tensor is null)
            {
                double value = role.InitialHyperparameter is { } name ? _groups[own.Group][name] : role.InitialValue;
                _access.Set(state, role.Index, own.NewState(StateType(own, role), value));
            }
            else
            {
                KeepInParameterOrder(own, role.Index, tensor, TypeFor(role, tensor.dtype), state, role.Name);
            }
        }

        if (_stepOptions.MasterWeights && own.DType != DType.Float32)
        {
            if (_access.Get(state, MasterIndex) is { } master)
            {
                KeepInParameterOrder(own, MasterIndex, master, master.dtype, state, StateRole.MasterParam.Name);
            }
            else
            {
                _access.Set(state, MasterIndex, own.InParameterOrder(own.Tensor, torch.ScalarType.Float32));
            }
        }
    }

    /// <summary>Puts a copy in place of a state tensor that lies otherwise than its parameter or is of another type, as loaded ones may.</summary>
    private void KeepInParameterOrder(
        FusedParameter own, int index, torch.Tensor tensor, torch.ScalarType type, ParameterState state, string name)
    {
        if (tensor.IsInvalid)
        {
            throw new InvalidOperationException(
                $"The state {name} of the parameter {own.Name} was disposed of, perhaps by the end of a DisposeScope in which it "
                + "was loaded. Load the optimizer's state outside of it.");
        }

        if (own.HasLayoutOf(tensor) && tensor.dtype == type)
        {
            return;
        }

        if (!own.HasShapeOf(tensor) || tensor.device_type != own.Tensor.device_type)
        {
            throw new InvalidOperationException(
                $"The state {name} of the parameter {own.Name} is [{string.Join(", ", tensor.shape)}] on {tensor.device}, but the "
                + $"parameter is [{string.Join(", ", own.Tensor.shape)}] on {own.Tensor.device}. Use the optimizer's to(device) "
                + "for the device that the parameters are on.");
        }

        _access.Set(state, index, own.InParameterOrder(tensor, type));
        tensor.Dispose();
    }

    /// <summary>
    /// The type of new states: that of the parameter, as TorchSharp has it, but float32 for float16, which the squares of
    /// gradients leave, with master weights, and where the rule has no other.
    /// </summary>
    private torch.ScalarType StateType(FusedParameter own, RuleState state) =>
        _stepOptions.MasterWeights || own.DType == DType.Float16
            ? torch.ScalarType.Float32
            : TypeFor(state, own.Tensor.dtype);

    /// <summary>The type that a state has in place of this one: float32 for one of 16 bits that the rule does not have.</summary>
    private static torch.ScalarType TypeFor(RuleState state, torch.ScalarType type) => type switch
    {
        torch.ScalarType.BFloat16 when !state.DTypes.Contains(DType.BFloat16) => torch.ScalarType.Float32,
        torch.ScalarType.Float16 when !state.DTypes.Contains(DType.Float16) => torch.ScalarType.Float32,
        _ => type,
    };

    private void CopyState(ParameterState source, int index)
    {
        if (ReferenceEquals(source, _states[index]))
        {
            return;
        }

        FusedParameter own = _fused[index];
        ParameterState state = _states[index];
        bool isNegated = HasTurnedStates(own.Group);
        for (int i = 0; i < TensorCount; i++)
        {
            torch.ScalarType type = i == MasterIndex ? torch.ScalarType.Float32 : StateType(own, Rule.States[i]);
            torch.Tensor? copy = _access.Get(source, i) is { } tensor ? own.InParameterOrder(tensor, type) : null;
            if (isNegated && copy is not null)
            {
                using (torch.no_grad())
                {
                    copy.neg_();
                }
            }

            _access.Get(state, i)?.Dispose();
            _access.Set(state, i, copy);
        }

        _access.SetStepCount(state, _access.GetStepCount(source));
        for (int i = 0; i < _access.RunningScalars.Count; i++)
        {
            _access.SetRunningScalar(state, i, _access.GetRunningScalar(source, i));
        }

        CountByBuffers(index);
    }

    /// <summary>
    /// Where TorchSharp's states have no step count, takes one that has a tensor for stepped: what counts is whether the next
    /// step is the first.
    /// </summary>
    private void CountByBuffers(int index)
    {
        if (!_access.HasStepCount)
        {
            bool hasBuffer = Enumerable.Range(0, TensorCount).Any(i => _access.Get(_states[index], i) is not null);
            _stepCounts[index] = hasBuffer ? Math.Max(1, _stepCounts[index]) : 0;
        }
    }

    /// <summary>
    /// Writes what the library's optimizer has counted since the last time to where TorchSharp's users read it: the running
    /// scalars, and the step counts if the device keeps them. What somebody else has written there in the meantime stays.
    /// </summary>
    private void FetchProgress()
    {
        if (_core is null)
        {
            return;
        }

        if (_core.Optimizer.IsCapturable)
        {
            long[] counts = new long[_states.Length];
            _core.Optimizer.GetStepCounts(counts);
            for (int i = 0; i < counts.Length; i++)
            {
                if (_access.GetStepCount(_states[i]) == _stepCounts[i])
                {
                    _access.SetStepCount(_states[i], counts[i]);
                }
            }

            _stepCounts = counts;
        }

        double[] values = new double[_states.Length];
        for (int scalar = 0; scalar < _access.RunningScalars.Count; scalar++)
        {
            _core.Optimizer.GetRunningScalars(_access.RunningScalars[scalar].Name, values);
            for (int i = 0; i < values.Length; i++)
            {
                ref double known = ref _runningScalars[i][scalar];
                if (_access.GetRunningScalar(_states[i], scalar).Equals(known))
                {
                    _access.SetRunningScalar(_states[i], scalar, values[i]);
                }

                known = values[i];
            }
        }
    }

    private double[] RunningScalarsOf(ParameterState state) =>
        [.. Enumerable.Range(0, _access.RunningScalars.Count).Select(i => _access.GetRunningScalar(state, i))];

    /// <summary>The running scalars as <see cref="FusedCore"/> takes them: before its first step, a parameter has the rule's own.</summary>
    private Dictionary<string, double[]> RunningScalarsByName(double[][] running, long[] counts) =>
        _access.RunningScalars.Select(static (scalar, i) => (scalar.Name, Index: i)).ToDictionary(
            static scalar => scalar.Name,
            scalar => running.Select((own, i) => counts[i] == 0 ? double.NaN : own[scalar.Index]).ToArray());

    private void DropCore()
    {
        FetchProgress();
        _core?.Dispose();
        _core = null;
    }
}
