using System.Runtime.CompilerServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// What options say to the native library: the values of a rule's hyperparameters and flags, and what their properties are
/// called, for messages.
/// </summary>
internal sealed unsafe class HyperparameterValues
{
    private readonly string[] _properties;
    private readonly Dictionary<string, string> _flagProperties = [];
    private readonly string _where;
    private readonly string _paramName;
    private nopt_hyperparams _native;

    /// <param name="rule">The rule.</param>
    /// <param name="where">What messages say before the name of an option.</param>
    /// <param name="paramName">The argument that the options come from.</param>
    public HyperparameterValues(Rule rule, string where, string paramName)
    {
        Rule = rule;
        _where = where;
        _paramName = paramName;
        _properties = [.. rule.Hyperparameters.Select(static own => own.Name)];
        _native.struct_size = (uint)sizeof(nopt_hyperparams);
        foreach (Hyperparameter own in rule.Hyperparameters)
        {
            _native.values[own.Index] = own.Default;
        }
    }

    public Rule Rule { get; }

    /// <summary>The values as native calls take them.</summary>
    public ref readonly nopt_hyperparams Native => ref _native;

    /// <summary>The names of everything that was set, and the properties that it came from.</summary>
    public List<(string Name, string Property)> Written { get; } = [];

    /// <summary>Sets a hyperparameter, after checking its range.</summary>
    /// <param name="name">The rule's name of it.</param>
    /// <param name="value">The value.</param>
    /// <param name="property">The property that it comes from.</param>
    public void Set(string name, double value, [CallerArgumentExpression(nameof(value))] string property = "")
    {
        Hyperparameter described = Rule.GetHyperparameter(name, _paramName);
        described.Require(value, _where + property, _paramName);
        _native.values[described.Index] = value;
        _properties[described.Index] = property;
        Written.Add((name, property));
    }

    /// <summary>Sets or clears a flag. One that the rule does not know can only be cleared.</summary>
    /// <param name="name">The rule's name of it.</param>
    /// <param name="isSet">Whether it is on.</param>
    /// <param name="property">The property that it comes from.</param>
    public void SetFlag(string name, bool isSet, [CallerArgumentExpression(nameof(isSet))] string property = "")
    {
        if (Rule.FindFlag(name) is not { } flag)
        {
            if (isSet)
            {
                throw new ArgumentException(
                    $"{_where}{property} is set, but the rule \"{Rule.Name}\" has no flag \"{name}\"; it has "
                    + $"{Rule.Names(Rule.Flags.Select(static own => own.Name))}.",
                    _paramName);
            }

            return;
        }

        _native.flags = isSet ? _native.flags | flag.Bit : _native.flags & ~flag.Bit;
        _flagProperties[name] = property;
        Written.Add((name, property));
    }

    /// <summary>Throws unless options fit each other.</summary>
    /// <param name="fits">Whether they do.</param>
    /// <param name="message">What is said if they do not.</param>
    public void Require(bool fits, string message)
    {
        if (!fits)
        {
            throw new ArgumentException(_where + message, _paramName);
        }
    }

    /// <summary>Sets what selects the random numbers of stochastic rounding.</summary>
    public void SetRoundingSeed(ulong seed) => _native.rounding_seed = seed;

    /// <summary>What users call a hyperparameter.</summary>
    public string PropertyOf(Hyperparameter hyperparameter) => _properties[hyperparameter.Index];

    /// <summary>What users call a flag.</summary>
    public string PropertyOf(RuleFlag flag) => _flagProperties.GetValueOrDefault(flag.Name, flag.Name);

    /// <summary>Throws if a flag is set that needs a hyperparameter above 0.</summary>
    /// <param name="hyperparameters">What to check, of this rule.</param>
    /// <param name="where">What the message says before the name of an option.</param>
    /// <param name="paramName">The argument that they come from.</param>
    public void RequireWhatFlagsNeed(in nopt_hyperparams hyperparameters, string where, string paramName)
    {
        // Without an enumerator: what a host does between steps allocates nothing.
        for (int i = 0; i < Rule.Flags.Count; i++)
        {
            RuleFlag flag = Rule.Flags[i];
            if (flag.NeededHyperparameter is { } name && (hyperparameters.flags & flag.Bit) != 0)
            {
                Hyperparameter needed = Rule.GetHyperparameter(name);
                if (!(hyperparameters.values[needed.Index] > 0))
                {
                    throw new ArgumentException(
                        $"{where}{PropertyOf(flag)} needs a {PropertyOf(needed)} above 0.", paramName);
                }
            }
        }
    }

    /// <summary>Throws unless one step can take these values together with those of group 0: they need the same states.</summary>
    public void RequireSameStates(HyperparameterValues first, int group)
    {
        foreach (RuleFlag flag in Rule.Flags.Where(static flag => flag.SelectsStates))
        {
            OptimizerOptions.RequireSame(
                PropertyOf(flag), (_native.flags & flag.Bit) != 0, (first._native.flags & flag.Bit) != 0, group, _paramName);
        }

        foreach (RuleState state in Rule.States)
        {
            if (state.NeededHyperparameter is not { } name)
            {
                continue;
            }

            Hyperparameter own = Rule.GetHyperparameter(name);
            (double here, double there) = (_native.values[own.Index], first._native.values[own.Index]);
            if (here > state.NeededAbove != there > state.NeededAbove)
            {
                throw new ArgumentException(
                    FormattableString.Invariant(
                        $"options[{group}].{PropertyOf(own)} is {here}, but options[0].{PropertyOf(own)} is {there}; either all ")
                    + FormattableString.Invariant($"groups have one above {state.NeededAbove} or none has, since the state ")
                    + $"{state.Name} depends on it. Make an optimizer of its own for the tensors of group {group}.",
                    _paramName);
            }
        }
    }
}
