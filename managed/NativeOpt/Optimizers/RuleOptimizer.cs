using System.Collections.ObjectModel;
using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="RuleOptimizer"/>: those of any rule, by the names that the rule describes.</summary>
/// <example>
/// <code>
/// RuleOptions options = new("adam")
/// {
///     LearningRate = 1e-2,
///     Hyperparameters = new Dictionary&lt;string, double&gt; { ["beta1"] = 0.8 },
///     Flags = ["amsgrad"],
/// };
/// </code>
/// </example>
public sealed record RuleOptions : OptimizerOptions
{
    private readonly ReadOnlyDictionary<string, double> _hyperparameters = ReadOnlyDictionary<string, double>.Empty;
    private readonly string[] _flags;

    /// <summary>Makes the default options of a rule, its learning rate and weight decay included.</summary>
    /// <param name="rule">The rule's name, for example "adam"; see <see cref="Rule.All"/>.</param>
    /// <exception cref="ArgumentNullException"><paramref name="rule"/> is null.</exception>
    /// <exception cref="ArgumentException">The library has no such rule; the message lists those that it has.</exception>
    public RuleOptions(string rule)
    {
        Rule described = Rule.Get(rule);
        RuleName = described.Name;
        LearningRate = described.GetHyperparameter("lr").Default;
        WeightDecay = described.GetHyperparameter("weight_decay").Default;
        _flags = [.. described.DefaultFlags.Select(static flag => flag.Name)];
    }

    /// <summary>
    /// The hyperparameters by name; those that are left out have the rule's defaults. "lr" and "weight_decay" set
    /// <see cref="OptimizerOptions.LearningRate"/> and <see cref="OptimizerOptions.WeightDecay"/>, of which the one set last
    /// counts.
    /// </summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public IReadOnlyDictionary<string, double> Hyperparameters
    {
        get => _hyperparameters;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            _hyperparameters = new Dictionary<string, double>(value).AsReadOnly();
            LearningRate = value.TryGetValue("lr", out double rate) ? rate : LearningRate;
            WeightDecay = value.TryGetValue("weight_decay", out double decay) ? decay : WeightDecay;
        }
    }

    /// <summary>
    /// The names of the flags that are set; the rule's defaults unless given. "maximize", "stochastic_rounding" and
    /// "stochastic_rounding_states" may be set here or by the properties <see cref="OptimizerOptions.Maximize"/>,
    /// <see cref="OptimizerOptions.StochasticRounding"/> and <see cref="OptimizerOptions.StochasticRoundingStates"/>.
    /// </summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public IReadOnlyCollection<string> Flags
    {
        get => _flags.AsReadOnly();
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            _flags = [.. value.Distinct()];
            Maximize |= _flags.Contains("maximize");
            StochasticRounding |= _flags.Contains("stochastic_rounding");
            StochasticRoundingStates |= _flags.Contains("stochastic_rounding_states");
        }
    }

    internal override string RuleName { get; }

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        foreach ((string name, double value) in _hyperparameters)
        {
            if (name is not ("lr" or "weight_decay"))
            {
                values.Set(name, value, name);
            }
        }

        foreach (string name in _flags)
        {
            values.SetFlag(name, true, name);
        }
    }
}

/// <summary>An optimizer of any rule of the native library, chosen by the rule's name.</summary>
/// <remarks>It takes the same steps, bit for bit, as the rule's typed class, where there is one.</remarks>
public sealed class RuleOptimizer : Optimizer
{
    /// <summary>Makes the optimizer of a set with one group of hyperparameters.</summary>
    /// <param name="parameters">The set; it may have no other optimizer.</param>
    /// <param name="options">The options, which also say which rule it is.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no hyperparameter or flag of a name, an option does not fit the tensors' types or another option, or a
    /// tensor is in a group other than 0.
    /// </exception>
    /// <exception cref="InvalidOperationException">The set has an optimizer already.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    [OverloadResolutionPriority(1)]
    public RuleOptimizer(ParameterSet parameters, RuleOptions options)
        : this(parameters, [options ?? throw new ArgumentNullException(nameof(options))])
    {
    }

    /// <summary>Makes the optimizer of a set with a group of hyperparameters for each of the options.</summary>
    /// <param name="parameters">The set; it may have no other optimizer.</param>
    /// <param name="options">The options of each group, all of the same rule.</param>
    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})" path="/exception"/>
    public RuleOptimizer(ParameterSet parameters, IReadOnlyList<RuleOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<OptimizerGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<OptimizerGroup> Groups { get; }
}
