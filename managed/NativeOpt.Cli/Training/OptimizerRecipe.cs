using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Training;

/// <summary>An optimizer that <c>nativeopt train</c> offers.</summary>
/// <param name="Preset">The rule and its options; the trainer sets the learning rate of each step.</param>
/// <param name="HasDimer">Whether a dimer is put around it.</param>
internal sealed record OptimizerRecipe(OptimizerPreset Preset, bool HasDimer = false)
{
    /// <summary>The switching rate of rules that have one, times the steps of a run: DualAdam is Adam alone after a quarter of it.
    /// </summary>
    public const double SwitchingPerRun = 4;

    /// <summary>The optimizers of the command line by themselves.</summary>
    public static IReadOnlyList<OptimizerRecipe> WithoutDimer =>
        [.. OptimizerPresets.OfOneCall.Select(static preset => new OptimizerRecipe(OptimizerPresets.ForTraining(preset)))];

    /// <summary>The same, and each with a dimer around it.</summary>
    public static IReadOnlyList<OptimizerRecipe> All =>
        [.. WithoutDimer, .. WithoutDimer.Select(static recipe => recipe with { HasDimer = true })];

    /// <summary>What the command line calls it.</summary>
    public string Name => (HasDimer ? "deo-" : "") + Preset.Name;

    /// <summary>The peak learning rate unless another one is given.</summary>
    public double LearningRate => Preset[OptimizerPresets.LearningRate];

    /// <summary>Whether it has a switching rate.</summary>
    public bool UsesSwitchingRate => Preset.HasHyperparameter(OptimizerPresets.SwitchingRate);

    /// <summary>Makes the optimizer.</summary>
    /// <param name="set">The parameters.</param>
    /// <param name="switchingRate">The switching rate, of rules that have one.</param>
    /// <param name="precision">How parameters and states are stored.</param>
    public Optimizer Create(ParameterSet set, double switchingRate, TrainingPrecision precision) => new RuleOptimizer(
        set,
        precision.ApplyTo(
            (UsesSwitchingRate ? Preset.With(OptimizerPresets.SwitchingRate, switchingRate) : Preset).Options));
}
