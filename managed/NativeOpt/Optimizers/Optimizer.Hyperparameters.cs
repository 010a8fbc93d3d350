using NativeOpt.Interop;

namespace NativeOpt;

// Changes of all groups at once, for what must be the same in all of them.
public abstract unsafe partial class Optimizer
{
    /// <summary>Sets or clears a flag of the rule in all groups, from the next step on.</summary>
    /// <param name="flag">The name, for example "amsgrad"; see <see cref="Rule.Flags"/>.</param>
    /// <param name="isSet">Whether it is on.</param>
    /// <remarks>Flags that lead to a state are the same in all groups. <see cref="OptimizerGroup.SetFlag"/> has more.</remarks>
    /// <exception cref="ArgumentNullException"><paramref name="flag"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such flag, the flag needs a hyperparameter above 0 in a group, it says what is rounded at random
    /// ("stochastic_rounding", "stochastic_rounding_states"), which is chosen when the optimizer is made, or the optimizer may
    /// not have a state that the flag leads to. No group has changed.
    /// </exception>
    /// <exception cref="InvalidOperationException">
    /// The flag leads to a state that is not bound, while other states are the host's; or a <see cref="DimerOptimizer"/> has
    /// displaced the parameters.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void SetFlag(string flag, bool isSet)
    {
        RuleFlag own = Rule.GetFlag(flag, nameof(flag));
        bool changesStates = false;
        foreach (OptimizerGroup group in _groups)
        {
            changesStates |= group.RequireChange(group.WithFlag(own, isSet, flag, nameof(flag)), true, flag, nameof(flag));
        }

        foreach (OptimizerGroup group in _groups)
        {
            group.Write(group.WithFlag(own, isSet, flag, nameof(flag)));
        }

        if (changesStates)
        {
            ChangeStates(_groups[0].Hyperparameters);
        }
    }

    /// <summary>Sets a hyperparameter of each group, from the next step on.</summary>
    /// <param name="hyperparameter">The name, for example "momentum"; see <see cref="Rule.Hyperparameters"/>.</param>
    /// <param name="values">The value of each group, in the order of <see cref="Groups"/>.</param>
    /// <remarks>
    /// All groups or none have a value above a state's bound (<see cref="RuleState.NeededAbove"/>): SGD with momentum in some
    /// groups alone takes two optimizers.
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="hyperparameter"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such hyperparameter, there are fewer or more values than groups, a flag needs a value above 0, or the
    /// values lead to a state in some groups alone, or to one that the optimizer may not have. No group has changed.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range. No group has changed.</exception>
    /// <exception cref="InvalidOperationException">
    /// It is the learning rate of a capturable optimizer (<see cref="OptimizerGroup.SetLearningRate"/> also tells the device),
    /// or the values lead to a state that is not bound, while other states are the host's.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void SetHyperparameter(string hyperparameter, ReadOnlySpan<double> values)
    {
        Hyperparameter own = Rule.GetHyperparameter(hyperparameter, nameof(hyperparameter));
        if (values.Length != _groups.Length)
        {
            throw new ArgumentException(
                $"{nameof(values)} has {values.Length} entries, but the optimizer has {_groups.Length} groups.", nameof(values));
        }

        bool changesStates = false;
        nopt_hyperparams first = With(_groups[0], own, values[0]);
        for (int i = 0; i < values.Length; i++)
        {
            _groups[i].RequireValue(own, values[i], own.Name, nameof(values));
            nopt_hyperparams changed = With(_groups[i], own, values[i]);
            RequireStatesOf(first, changed, own, i, nameof(values));
            changesStates |= own.SelectsStates && _groups[i].RequireChange(changed, true, own.Name, nameof(values));
        }

        for (int i = 0; i < values.Length; i++)
        {
            _groups[i].Write(With(_groups[i], own, values[i]));
        }

        if (changesStates)
        {
            ChangeStates(_groups[0].Hyperparameters);
        }
    }

    private static nopt_hyperparams With(OptimizerGroup group, Hyperparameter own, double value)
    {
        nopt_hyperparams changed = group.Hyperparameters;
        changed.values[own.Index] = value;
        return changed;
    }

    /// <summary>Throws unless a group has the states that group 0 has.</summary>
    private void RequireStatesOf(
        in nopt_hyperparams first, in nopt_hyperparams changed, Hyperparameter own, int group, string paramName)
    {
        for (int i = 0; i < Rule.States.Count; i++)
        {
            RuleState state = Rule.States[i];
            if (Rule.HasState(state, changed) != Rule.HasState(state, first))
            {
                throw new ArgumentException(
                    FormattableString.Invariant(
                        $"{paramName}[{group}] is {changed.values[own.Index]}, but {paramName}[0] is {first.values[own.Index]}; either all ")
                    + FormattableString.Invariant($"groups have a {own.Name} above {state.NeededAbove} or none has, since the state ")
                    + $"{state.Name} depends on it. Make an optimizer of its own for the tensors of group {group}.",
                    paramName);
            }
        }
    }
}
