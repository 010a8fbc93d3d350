using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>The options of one of a file's parameter groups.</summary>
/// <param name="Group">The optimizer's group that the parameter group is of.</param>
/// <param name="InitialLearningRate">The learning rate that TorchSharp's schedules began with.</param>
/// <param name="Values">The rule's hyperparameters by name, the learning rate among them.</param>
/// <param name="Flags">The rule's flags by name, those that may differ.</param>
internal sealed record TorchSharpOptions(
    int Group, double InitialLearningRate, (string Name, double Value)[] Values, (string Name, bool IsSet)[] Flags)
{
    public double this[string name] => Array.Find(Values, own => own.Name == name).Value;
}

/// <summary>Compares the options of a file's parameter groups with an optimizer's, or has the optimizer take them on.</summary>
internal sealed class TorchSharpOptionsMatch
{
    private const string LearningRate = "lr";
    private const string WeightDecay = "weight_decay";

    private readonly Optimizer _optimizer;
    private readonly List<TorchSharpOptions> _groups;
    private readonly List<TorchSharpRun> _runs;

    /// <param name="optimizer">The optimizer.</param>
    /// <param name="groups">The options of each of the file's groups.</param>
    /// <param name="runs">The groups that a file of the optimizer has.</param>
    public TorchSharpOptionsMatch(Optimizer optimizer, List<TorchSharpOptions> groups, List<TorchSharpRun> runs)
    {
        _optimizer = optimizer;
        _groups = groups;
        _runs = runs;
    }

    /// <summary>Throws if an option of the file is another one than here.</summary>
    public void Require()
    {
        string[] differences = [.. Enumerable.Range(0, _groups.Count).SelectMany(Differences)];
        if (differences.Length > 0)
        {
            throw new InvalidDataException(
                $"The file's hyperparameters are not the optimizer's: {string.Join("; ", differences)}. Make the optimizer with those "
                + $"of the file, or say what is to become of them: with {nameof(SavedHyperparameters)}."
                + $"{nameof(SavedHyperparameters.TakeOver)} it takes on the file's, with {nameof(SavedHyperparameters.Keep)} it keeps "
                + "its own.");
        }
    }

    /// <summary>What has the optimizer's groups take on the file's options; throws if they cannot.</summary>
    /// <param name="stream">The stream of the steps to come.</param>
    public Action TakeOver(DeviceStream stream)
    {
        nopt_hyperparams[] changed = [.. _optimizer.Groups.Select(static group => group.Hyperparameters)];
        for (int index = 0; index < _groups.Count; index++)
        {
            TorchSharpOptions there = _groups[index];
            int first = _groups.FindIndex(other => other.Group == there.Group);
            RequireSameOptions(first, index);
            if (first == index)
            {
                Change(ref changed[there.Group], there);
            }
        }

        RequireNoneOfTensors();
        return () =>
        {
            foreach (OptimizerGroup group in _optimizer.Groups)
            {
                if (_optimizer.IsCapturable)
                {
                    group.SendLearningRate(
                        changed[group.Index].values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR], stream);
                }

                group.Write(changed[group.Index]);
            }
        };
    }

    private IEnumerable<string> Differences(int index)
    {
        TorchSharpOptions there = _groups[index];
        OptimizerGroup here = _optimizer.Groups[there.Group];

        // Where the file has other groups than a file of the optimizer would, any of these may be meant.
        List<TorchSharpRun> runs = _groups.Count == _runs.Count ? [_runs[index]] : _runs;
        foreach ((string name, double value) in there.Values)
        {
            double[] own = name switch
            {
                LearningRate => [.. runs.Select(static run => run.LearningRate)],
                WeightDecay => [.. runs.Select(static run => run.WeightDecay)],
                _ => [here[name]],
            };
            if (!own.Contains(value) && !(name == LearningRate && own.Contains(there.InitialLearningRate)))
            {
                string property = here.Values.PropertyOf(_optimizer.Rule.GetHyperparameter(name));
                yield return string.Create(
                    CultureInfo.InvariantCulture,
                    $"{name} of parameter group {index} is {value} in the file, and {property} of group {there.Group} is {own[0]}");
            }
        }

        foreach ((string name, bool isSet) in there.Flags)
        {
            if (isSet != here.HasFlag(name))
            {
                string property = here.Values.PropertyOf(_optimizer.Rule.GetFlag(name));
                yield return
                    $"{name} of parameter group {index} is {isSet} in the file, and {property} of group {there.Group} is {!isSet}";
            }
        }
    }

    /// <summary>Throws unless parameter groups that are of one group here have the same options.</summary>
    private void RequireSameOptions(int first, int index)
    {
        (string Name, double Value) other = Array.Find(
            _groups[index].Values, own => !own.Value.Equals(_groups[first][own.Name]));
        if (other.Name is not null || !_groups[index].Flags.SequenceEqual(_groups[first].Flags))
        {
            throw new InvalidDataException(
                $"Parameter groups {first} and {index} of the file differ in {other.Name ?? "a flag"}, but both are of group "
                + $"{_groups[first].Group} here, which cannot take on both. Give such parameters a {nameof(TensorOptions)}."
                + $"{nameof(TensorOptions.Group)} of their own.");
        }
    }

    /// <summary>Changes the hyperparameters of a group to the file's, which must be possible and need the same states.</summary>
    private void Change(ref nopt_hyperparams changed, TorchSharpOptions there)
    {
        Rule rule = _optimizer.Rule;
        HyperparameterValues values = _optimizer.Groups[there.Group].Values;
        nopt_hyperparams before = changed;
        foreach ((string name, double value) in there.Values)
        {
            Hyperparameter own = rule.GetHyperparameter(name);
            if (!own.Allows(value))
            {
                throw new InvalidDataException(
                    string.Create(CultureInfo.InvariantCulture, $"{name} is {value} in the file; it must be {own.Range}."));
            }

            changed.values[own.Index] = value;
        }

        foreach ((string name, bool isSet) in there.Flags)
        {
            uint bit = rule.GetFlag(name).Bit;
            changed.flags = isSet ? changed.flags | bit : changed.flags & ~bit;
        }

        try
        {
            values.RequireWhatFlagsNeed(changed, "", "");
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException($"The file's hyperparameters make no sense: {exception.Message}", exception);
        }

        foreach (RuleState state in rule.States)
        {
            if (rule.HasState(state, changed) != rule.HasState(state, before))
            {
                throw new InvalidDataException(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{state.NeededHyperparameter} is {there[state.NeededHyperparameter!]} in the file, on which the state ")
                    + $"{state.Name} depends. Make the optimizer with a "
                    + $"{values.PropertyOf(rule.GetHyperparameter(state.NeededHyperparameter!))} of that.");
            }
        }
    }

    private void RequireNoneOfTensors()
    {
        ParameterSet set = _optimizer.ParameterSet;
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            if (set.GetLearningRateScale(tensor) != 1 || set.GetWeightDecay(tensor) is not null)
            {
                throw new InvalidDataException(
                    $"{StateTransfer.Describe(set, tensor)} has a learning-rate scale or a weight decay of its own, so that the file's "
                    + "learning rates and weight decays cannot be taken over. Set the hyperparameters yourself, and load with "
                    + $"{nameof(SavedHyperparameters)}.{nameof(SavedHyperparameters.MustMatch)}.");
            }
        }
    }
}
