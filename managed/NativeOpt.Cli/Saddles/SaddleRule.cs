using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Saddles;

/// <summary>An update rule that <c>nativeopt saddle</c> compares.</summary>
/// <param name="Preset">The rule and its options.</param>
/// <param name="LearningRates">The grid: every dimer of the rule runs at each of them and is shown at its best.</param>
internal sealed record SaddleRule(OptimizerPreset Preset, IReadOnlyList<double> LearningRates)
{
    private static readonly Lazy<IReadOnlyList<SaddleRule>> LazyAll = new(static () =>
    [
        .. OptimizerPresets.WithHyperparameters.Where(OptimizerPresets.IsOneCall)
            .Select(static preset => new SaddleRule(preset, OptimizerPresets.SaddleRates(preset))),
    ]);

    /// <summary>Every rule whose step is one call, also with each hyperparameter that gives it other states.</summary>
    public static IReadOnlyList<SaddleRule> All => LazyAll.Value;

    /// <summary>What the command line calls it.</summary>
    public string Name => Preset.Name;

    /// <summary>Makes the optimizer with a learning rate.</summary>
    public Optimizer Create(ParameterSet set, double learningRate) =>
        new RuleOptimizer(set, Preset.With(OptimizerPresets.LearningRate, learningRate).Options);
}
