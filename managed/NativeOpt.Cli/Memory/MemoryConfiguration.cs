using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Shapes;

namespace NativeOpt.Cli.Memory;

/// <summary>What decides how much memory an optimizer takes.</summary>
/// <param name="Preset">The optimizer with those of its options that decide which states there are.</param>
internal sealed record MemoryConfiguration(OptimizerPreset Preset)
{
    private const DType B = DType.BFloat16, D = DType.Dynamic8;

    /// <summary>
    /// Those that most would choose among: every set of states that a rule has, the smallest first, but each number of bytes
    /// only once; and then the usual optimizer in other types and with a dimer.
    /// </summary>
    public static IReadOnlyList<MemoryConfiguration> Usual
    {
        get
        {
            MemoryConfiguration usual = new(OptimizerPresets.Find(OptimizerPresets.Usual)!);
            return
            [
                .. OptimizerPresets.WithStates.OrderByDescending(static preset => preset.BaseName == OptimizerPresets.Usual)
                    .DistinctBy(static preset => preset.Options.GetStates().Count)
                    .OrderBy(static preset => preset.Options.GetStates().Count)
                    .Select(static preset => new MemoryConfiguration(preset)),
                usual with { StateType = B },
                usual with { StateType = D },
                usual with { DType = B, MasterWeights = MasterWeights.Float32 },
                usual with { DType = B, MasterWeights = MasterWeights.Remainder },
                usual with { DType = B, MasterWeights = MasterWeights.Remainder, StateType = B },
                usual with { DType = B, MasterWeights = MasterWeights.Remainder, StateType = D },
                usual with { DType = B },
                usual with { DType = B, StateType = B },
                usual with { Dimer = new DimerOptions() },
                usual with { Dimer = DimerOptions.Recommended },
                usual with { DType = B, MasterWeights = MasterWeights.Remainder, Dimer = DimerOptions.Recommended },
            ];
        }
    }

    /// <summary>The element type of parameters and gradients.</summary>
    public DType DType { get; init; } = DType.Float32;

    public MasterWeights MasterWeights { get; init; }

    public DType StateType { get; init; } = DType.Float32;

    /// <summary>The elements below which a tensor has no states of 8 bits; null: as usual.</summary>
    public long? MinDynamic8ElementCount { get; init; }

    /// <summary>The options of a dimer around it; null: there is none.</summary>
    public DimerOptions? Dimer { get; init; }

    /// <summary>What the command line calls the optimizer, without its options.</summary>
    public string Rule => Preset.BaseName;

    /// <summary>The options that select states and are on.</summary>
    public IReadOnlyList<string> Selected =>
        [.. StateSelector.Of(Preset.Rule).Where(own => own.IsOn(Preset)).Select(static own => own.Name)];

    /// <summary>The rule with what is unusual about it.</summary>
    public string Name =>
        string.Join(", ", [Rule, .. Selected.Select(static name => name.Replace('_', ' '))])
        + (Dimer is null ? "" : $", {DimerName} dimer");

    /// <summary>What --dimer calls it.</summary>
    public string? DimerName => Dimer switch
    {
        null => null,
        { Angle: RotationAngle.FixedRate } => "published",
        _ => "recommended",
    };

    /// <summary>What it takes for the tensors of a shape.</summary>
    public OptimizerMemory For(ModelShape shape) =>
        OptimizerMemory.Of(Options(), [.. shape.ElementCounts.Select(count => new TensorSpec(count, DType))], Dimer);

    private RuleOptions Options() => Preset.Options with
    {
        MasterWeights = MasterWeights,
        StateType = StateType,
        MinDynamic8ElementCount = MinDynamic8ElementCount ?? Preset.Options.MinDynamic8ElementCount,
    };
}
