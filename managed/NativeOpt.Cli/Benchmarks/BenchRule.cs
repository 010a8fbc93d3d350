namespace NativeOpt.Cli.Benchmarks;

/// <summary>What of an optimizer is timed.</summary>
internal enum BenchWork
{
    /// <summary>A step of the rule alone.</summary>
    Step,

    /// <summary>A step with a dimer whose direction stays as it is.</summary>
    CachedStep,

    /// <summary>A step that turns the dimer's direction; the displacement before it is not in the time.</summary>
    Update,

    /// <summary>A displacement along the dimer's direction; putting the parameters back is not in the time.</summary>
    Displacement,
}

/// <summary>An update rule that <c>nativeopt bench</c> times.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Options">Its options, in float32.</param>
/// <param name="Work">What of it is timed.</param>
internal sealed record BenchRule(string Name, OptimizerOptions Options, BenchWork Work = BenchWork.Step)
{
    private static readonly BenchRule[] _plain =
    [
        new("sgd", new SgdOptions()),
        new("sgd-momentum", new SgdOptions { Momentum = 0.9 }),
        new("adam", new AdamOptions()),
        new("adam-amsgrad", new AdamOptions { Amsgrad = true }),
        new("adamw", new AdamWOptions()),
        new("invadam", new InvAdamOptions()),
        new("dualadam", new DualAdamOptions()),
    ];

    /// <summary>The rules by themselves, each with a dimer around it, and the displacement, which is the same for all.</summary>
    public static IReadOnlyList<BenchRule> All { get; } =
    [
        .. _plain,
        .. _plain.SelectMany(static rule => new[]
        {
            rule with { Name = $"deo-{rule.Name}-cached", Work = BenchWork.CachedStep },
            rule with { Name = $"deo-{rule.Name}-update", Work = BenchWork.Update },
        }),
        new("deo-displace", new SgdOptions(), BenchWork.Displacement),
    ];

    /// <summary>Those that are timed unless others are named.</summary>
    public static IReadOnlyList<BenchRule> Default { get; } =
    [
        .. new[]
        {
            "sgd", "sgd-momentum", "adam", "adamw", "invadam", "dualadam", "deo-adam-cached", "deo-adam-update",
        }.Select(static name => All.Single(rule => rule.Name == name)),
    ];

    /// <summary>The options of the dimer around it; null: there is none.</summary>
    public DimerOptions? Dimer => Work switch
    {
        BenchWork.Step => null,
        BenchWork.CachedStep => new DimerOptions { Interval = int.MaxValue, Displacement = 1e-3 },
        _ => new DimerOptions { Interval = 1, Displacement = 1e-3 },
    };
}
