using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Optimizers;

/// <summary>A rule with some of its options under one name. Every command makes its optimizers of these.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Options">The options.</param>
internal sealed record OptimizerPreset(string Name, RuleOptions Options)
{
    /// <summary>The name without the option that gives it other states: "adam" for "adam-amsgrad".</summary>
    public string BaseName { get; init; } = Name;

    /// <summary>The flags without which the options would not be what the name says.</summary>
    public IReadOnlyList<string> FixedFlags { get; init; } = [];

    public Rule Rule => Options.Rule;

    /// <summary>The value of a hyperparameter.</summary>
    public double this[string hyperparameter] => hyperparameter switch
    {
        OptimizerPresets.LearningRate => Options.LearningRate,
        OptimizerPresets.WeightDecay => Options.WeightDecay,
        _ => Options.Hyperparameters.TryGetValue(hyperparameter, out double value)
            ? value : Rule.GetHyperparameter(hyperparameter).Default,
    };

    public bool HasHyperparameter(string name) => Rule.Hyperparameters.Any(own => own.Name == name);

    public bool HasFlag(string name) => Options.Flags.Contains(name);

    /// <summary>The same with another value of a hyperparameter.</summary>
    public OptimizerPreset With(string hyperparameter, double value) => this with
    {
        Options = hyperparameter switch
        {
            OptimizerPresets.LearningRate => Options with { LearningRate = value },
            OptimizerPresets.WeightDecay => Options with { WeightDecay = value },
            _ => Options with
            {
                Hyperparameters = new Dictionary<string, double>(Options.Hyperparameters) { [hyperparameter] = value },
            },
        },
    };

    /// <summary>The same with a flag set or cleared.</summary>
    public OptimizerPreset WithFlag(string flag, bool isSet) => this with
    {
        Options = Options with
        {
            Flags = [.. isSet ? Options.Flags.Append(flag).Distinct() : Options.Flags.Where(other => other != flag)],
        },
    };

    /// <summary>Throws if a state of the optimizer cannot have an element type.</summary>
    /// <exception cref="UsageException">A state cannot.</exception>
    public void RequireStateType(DType type)
    {
        RuleState? other = Options.GetStates().FirstOrDefault(state => !state.DTypes.Contains(type));
        if (other is not null)
        {
            throw new UsageException(
                $"--state-dtype {CommonOptions.Name(type)}: {other.Name} of {Name} must be "
                + $"{string.Join(" or ", other.DTypes.Select(CommonOptions.Name))}; use one of these, or another rule.");
        }
    }
}
