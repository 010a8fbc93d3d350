using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>A rule whose escape times diffusion theory predicts, since noise alone sets the size of its steps.</summary>
/// <param name="Name">The rule.</param>
/// <param name="NoisePower">Its steps are the learning rate times the gradient times this power of the noise's deviation σ: Adam
/// divides by √v̂ ≈ σ, InvAdam multiplies by it.</param>
internal sealed record EscapeRule(string Name, int NoisePower)
{
    /// <summary>The rules of Theorem 1, and SGD, for which Xie et al. (2021) have the law.</summary>
    public static IReadOnlyList<EscapeRule> All { get; } = [new("adam", -1), new("sgd", 0), new("invadam", 1)];

    /// <summary>What the logarithm of the escape time is predicted to change by with the curvature: its power.</summary>
    /// <param name="noiseFollowsCurvature">Whether the noise's variance is proportional to the curvature.</param>
    public double Power(bool noiseFollowsCurvature) => noiseFollowsCurvature ? -(NoisePower + 2) / 2.0 : 0;

    /// <summary>
    /// The learning rate with which a barrier of height 1 is so many times the temperature: the stationary density of small steps is
    /// e^(−L/T) with T = ησ^(2 + power)/2, and log τ grows as the barrier over T.
    /// </summary>
    /// <param name="barriers">The barrier in temperatures.</param>
    /// <param name="noise">σ.</param>
    public double Rate(double barriers, double noise) => 2 / (barriers * Math.Pow(noise, NoisePower + 2));

    /// <summary>Makes the optimizer, with the rule's defaults otherwise.</summary>
    public Optimizer Create(ParameterSet set, double learningRate) => new RuleOptimizer(
        set, OptimizerPresets.Find(Name)!.With(OptimizerPresets.LearningRate, learningRate).Options);
}
