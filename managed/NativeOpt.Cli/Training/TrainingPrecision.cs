namespace NativeOpt.Cli.Training;

/// <summary>How many bits of a model's parameters, and of the optimizer's states, are stored, and where.</summary>
/// <param name="DType">The element type of parameters and gradients; the model computes in float32 in any case.</param>
/// <param name="MasterWeights">What the optimizer keeps of them beyond it.</param>
/// <param name="RoundingSeed">Of stochastic rounding; null: to nearest.</param>
internal sealed record TrainingPrecision(DType DType, MasterWeights MasterWeights, ulong? RoundingSeed = null)
{
    /// <summary>The element type of the optimizer's states.</summary>
    public DType StateType { get; init; } = DType.Float32;

    /// <summary>Smaller tensors have float32 states in place of 8 bits; null: as usual.</summary>
    public long? MinDynamic8ElementCount { get; init; }

    /// <summary>Parameters and gradients of the model's own type, and such states.</summary>
    public static TrainingPrecision Float32 { get; } = new(DType.Float32, MasterWeights.None);

    /// <summary>Options of an optimizer that keeps parameters so.</summary>
    public T ApplyTo<T>(T options)
        where T : OptimizerOptions =>
        (T)(options with
        {
            MasterWeights = MasterWeights,
            StochasticRounding = RoundingSeed is not null,
            RoundingSeed = RoundingSeed ?? 0,
            StateType = StateType,
            MinDynamic8ElementCount = MinDynamic8ElementCount ?? options.MinDynamic8ElementCount,
        });

    /// <summary>The parameters, for people.</summary>
    public string Parameters => (DType, MasterWeights) switch
    {
        (DType.Float32, _) => "float32",
        (_, MasterWeights.Remainder) => "bfloat16 with remainders",
        (_, MasterWeights.Float32) => "bfloat16 with float32 masters",
        _ => RoundingSeed is null ? "bfloat16, rounded to nearest" : "bfloat16, rounded at random",
    };

    /// <summary>The states, for people.</summary>
    public string States => Name + (MinDynamic8ElementCount is long count
        ? count == 0 ? " for all tensors" : FormattableString.Invariant($" for tensors of {count:N0} elements and more")
        : "");

    private string Name => StateType.ToString().ToLowerInvariant();

    public override string ToString() => Parameters + (StateType == DType.Float32 ? "" : $", {Name} states");
}
