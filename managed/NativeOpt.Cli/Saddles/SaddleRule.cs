namespace NativeOpt.Cli.Saddles;

/// <summary>An update rule that <c>nativeopt saddle</c> compares.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="LearningRates">The grid: every dimer of the rule runs at each of them and is shown at its best.</param>
/// <param name="Create">Makes the optimizer with a learning rate.</param>
internal sealed record SaddleRule(
    string Name, IReadOnlyList<double> LearningRates, Func<ParameterSet, double, Optimizer> Create)
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<SaddleRule> All { get; } =
    [
        new("sgd", [0.01, 0.03, 0.1, 0.3, 1, 3], static (set, rate) => new Sgd(
            set, new SgdOptions { LearningRate = rate })),
        new("sgd-momentum", [0.003, 0.01, 0.03, 0.1, 0.3, 1], static (set, rate) => new Sgd(
            set, new SgdOptions { LearningRate = rate, Momentum = 0.9 })),
        new("adam", [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1], static (set, rate) => new Adam(
            set, new AdamOptions { LearningRate = rate })),
        new("adamw", [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1], static (set, rate) => new AdamW(
            set, new AdamWOptions { LearningRate = rate })),
        new("invadam", [3, 10, 30, 100, 300, 1000], static (set, rate) => new InvAdam(
            set, new InvAdamOptions { LearningRate = rate })),
        new("dualadam", [0.1, 0.3, 1, 3, 10, 30, 100], static (set, rate) => new DualAdam(
            set, new DualAdamOptions { LearningRate = rate })),
    ];
}
