using NativeOpt.Cli.Shapes;

namespace NativeOpt.Cli.Memory;

/// <summary>What decides how much memory an optimizer takes.</summary>
/// <param name="Rule">The optimizer, one of <see cref="Rules"/>.</param>
internal sealed record MemoryConfiguration(string Rule)
{
    private const string Sgd = "sgd";

    /// <summary>All optimizers.</summary>
    public static IReadOnlyList<string> Rules { get; } = ["adam", "adamw", "invadam", "dualadam", Sgd];

    /// <summary>Those that most would choose among. The four of Adam's family take the same.</summary>
    public static IReadOnlyList<MemoryConfiguration> Usual { get; } =
    [
        new(Sgd),
        new(Sgd) { Momentum = true },
        new("adam"),
        new("adam") { StateType = DType.BFloat16 },
        new("adam") { StateType = DType.Dynamic8 },
        new("adam") { Amsgrad = true },
        new("adam") { DType = DType.BFloat16, MasterWeights = MasterWeights.Float32 },
        new("adam") { DType = DType.BFloat16, MasterWeights = MasterWeights.Remainder },
        new("adam") { DType = DType.BFloat16, MasterWeights = MasterWeights.Remainder, StateType = DType.BFloat16 },
        new("adam") { DType = DType.BFloat16, MasterWeights = MasterWeights.Remainder, StateType = DType.Dynamic8 },
        new("adam") { DType = DType.BFloat16 },
        new("adam") { DType = DType.BFloat16, StateType = DType.BFloat16 },
        new("adam") { Dimer = new DimerOptions() },
        new("adam") { Dimer = DimerOptions.Recommended },
        new("adam") { DType = DType.BFloat16, MasterWeights = MasterWeights.Remainder, Dimer = DimerOptions.Recommended },
    ];

    /// <summary>The element type of parameters and gradients.</summary>
    public DType DType { get; init; } = DType.Float32;

    public MasterWeights MasterWeights { get; init; }

    public DType StateType { get; init; } = DType.Float32;

    /// <summary>Of states of 8 bits; null: as usual.</summary>
    public long? MinDynamic8ElementCount { get; init; }

    public bool Amsgrad { get; init; }

    public bool Momentum { get; init; }

    /// <summary>Of a dimer around it; null: there is none.</summary>
    public DimerOptions? Dimer { get; init; }

    public bool IsSgd => Rule == Sgd;

    /// <summary>The rule with what is unusual about it.</summary>
    public string Name =>
        Rule + (Amsgrad ? ", amsgrad" : "") + (Momentum ? ", momentum" : "") + (Dimer is null ? "" : $", {DimerName} dimer");

    /// <summary>What --dimer calls it.</summary>
    public string? DimerName => Dimer switch
    {
        null => null,
        { Angle: RotationAngle.Optimal } => "recommended",
        _ => "published",
    };

    /// <summary>What it takes for the tensors of a shape.</summary>
    public OptimizerMemory For(ModelShape shape) =>
        OptimizerMemory.Of(Options(), [.. shape.ElementCounts.Select(count => new TensorSpec(count, DType))], Dimer);

    private OptimizerOptions Options()
    {
        OptimizerOptions ofRule = Rule switch
        {
            "adam" => new AdamOptions { Amsgrad = Amsgrad },
            "adamw" => new AdamWOptions { Amsgrad = Amsgrad },
            "invadam" => new InvAdamOptions { Amsgrad = Amsgrad },
            "dualadam" => new DualAdamOptions { Amsgrad = Amsgrad },
            _ => new SgdOptions { Momentum = Momentum ? 0.9 : 0 },
        };
        return ofRule with
        {
            MasterWeights = MasterWeights,
            StateType = StateType,
            MinDynamic8ElementCount = MinDynamic8ElementCount ?? ofRule.MinDynamic8ElementCount,
        };
    }
}
