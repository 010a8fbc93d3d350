namespace NativeOpt.Cli.Training;

/// <summary>An optimizer that <c>nativeopt train</c> offers.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="LearningRate">The peak learning rate unless another one is given.</param>
/// <param name="UsesSwitchingRate">Whether it has one.</param>
/// <param name="Create">Makes it of a set, a switching rate and a precision; the trainer sets the learning rate of each step.
/// </param>
/// <param name="HasDimer">Whether a dimer is put around it.</param>
internal sealed record OptimizerRecipe(
    string Name,
    double LearningRate,
    bool UsesSwitchingRate,
    Func<ParameterSet, double, TrainingPrecision, Optimizer> Create,
    bool HasDimer = false)
{
    private static readonly OptimizerRecipe[] _rules =
    [
        new("adam", 2e-3, false, static (set, _, precision) => new Adam(
            set, precision.ApplyTo(new AdamOptions()))),
        new("adamw", 2e-3, false, static (set, _, precision) => new AdamW(
            set, precision.ApplyTo(new AdamWOptions()))),
        new("invadam", 1, false, static (set, _, precision) => new InvAdam(
            set, precision.ApplyTo(new InvAdamOptions()))),
        new("dualadam", 4e-3, true, static (set, switchingRate, precision) => new DualAdam(
            set, precision.ApplyTo(new DualAdamOptions { SwitchingRate = switchingRate }))),
        new("sgd", 0.03, false, static (set, _, precision) => new Sgd(
            set, precision.ApplyTo(new SgdOptions { Momentum = 0.9 }))),
    ];

    /// <summary>The rules by themselves, and each with a dimer around it.</summary>
    /// <remarks>
    /// The rates are what a few runs of 300 steps of 16 x 64 characters found (Gpt.Default, prose): Adam and AdamW are best
    /// near 2e-3. DualAdam takes twice as much, since its inverse part hardly moves anything where gradients are small,
    /// which makes it Adam with a long warm-up. InvAdam multiplies by sqrt(v) and so moves by the square of the gradient:
    /// it needs a rate that is larger by far, and above 1 it blows up sooner or later.
    /// </remarks>
    public static IReadOnlyList<OptimizerRecipe> All { get; } =
        [.. _rules, .. _rules.Select(static rule => rule with { Name = "deo-" + rule.Name, HasDimer = true })];
}
