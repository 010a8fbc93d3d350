using NativeOpt.Cli.Optimizers;

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

/// <summary>What <c>nativeopt bench</c> times.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Preset">The rule and its options, in float32.</param>
/// <param name="Work">What of it is timed.</param>
internal sealed record BenchRule(string Name, OptimizerPreset Preset, BenchWork Work = BenchWork.Step)
{
    /// <summary>What a displacement is called, which is the same for all rules.</summary>
    public const string DisplacementName = "deo-displace";

    private static readonly Lazy<IReadOnlyList<BenchRule>> LazyAll = new(static () =>
    [
        .. OptimizerPresets.WithStates.Select(static preset => new BenchRule(preset.Name, preset)),
        .. OptimizerPresets.WithStates.SelectMany(static preset => new BenchRule[]
        {
            new(CachedName(preset.Name), preset, BenchWork.CachedStep), new(UpdateName(preset.Name), preset, BenchWork.Update),
        }),
        new(DisplacementName, Smallest(), BenchWork.Displacement),
    ]);

    /// <summary>The rules by themselves, each with a dimer around it, and the displacement.</summary>
    public static IReadOnlyList<BenchRule> All => LazyAll.Value;

    /// <summary>Those that are timed unless others are named: every rule, and a dimer around the usual one.</summary>
    public static IReadOnlyList<BenchRule> Default
    {
        get
        {
            string[] names =
            [
                .. OptimizerPresets.WithHyperparameters.Select(static preset => preset.Name),
                CachedName(OptimizerPresets.Usual), UpdateName(OptimizerPresets.Usual),
            ];
            return [.. names.Select(static name => All.Single(rule => rule.Name == name))];
        }
    }

    /// <summary>The options of the dimer around it; null: there is none.</summary>
    public DimerOptions? Dimer => Work switch
    {
        BenchWork.Step => null,
        BenchWork.CachedStep => new DimerOptions { Interval = int.MaxValue, Displacement = 1e-3 },
        _ => new DimerOptions { Interval = 1, Displacement = 1e-3 },
    };

    private static string CachedName(string preset) => $"deo-{preset}-cached";

    private static string UpdateName(string preset) => $"deo-{preset}-update";

    // A displacement touches no state: the rule that has the fewest takes the least memory.
    private static OptimizerPreset Smallest() => OptimizerPresets.All.MinBy(static preset => preset.Options.GetStates().Count)!;
}
