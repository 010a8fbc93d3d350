namespace NativeOpt.Cli.Training;

/// <summary>How many bits of a model's parameters, and of the optimizer's states, are stored, and where.</summary>
/// <param name="DType">The element type of parameters and gradients; the model computes in float32 in any case.</param>
/// <param name="MasterWeights">What the optimizer keeps of them beyond it.</param>
/// <param name="StochasticRounding">Whether parameters are rounded at random, and not to nearest.</param>
internal sealed record TrainingPrecision(DType DType, MasterWeights MasterWeights, bool StochasticRounding = false)
{
    /// <summary>Whether states are rounded at random, and not to nearest.</summary>
    public bool StochasticRoundingStates { get; init; }

    /// <summary>Selects the random numbers of both.</summary>
    public ulong RoundingSeed { get; init; }

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
            StochasticRounding = StochasticRounding,
            StochasticRoundingStates = StochasticRoundingStates,
            RoundingSeed = StochasticRounding || StochasticRoundingStates ? RoundingSeed : 0,
            StateType = StateType,
            MinDynamic8ElementCount = MinDynamic8ElementCount ?? options.MinDynamic8ElementCount,
        });

    /// <summary>The parameters, for people.</summary>
    public string Parameters => (DType, MasterWeights) switch
    {
        (DType.Float32, _) => "float32",
        (_, MasterWeights.Remainder) => "bfloat16 with remainders",
        (_, MasterWeights.Float32) => "bfloat16 with float32 masters",
        _ => StochasticRounding ? "bfloat16, rounded at random" : "bfloat16, rounded to nearest",
    };

    /// <summary>The states, for people.</summary>
    public string States => Name + AtRandom + (MinDynamic8ElementCount is long count
        ? count == 0 ? " for all tensors" : FormattableString.Invariant($" for tensors of {count:N0} elements and more")
        : "");

    private string Name => StateType.ToString().ToLowerInvariant();

    private string AtRandom => StochasticRoundingStates ? ", rounded at random" : "";

    public override string ToString() => Parameters + (StateType == DType.Float32 ? "" : $", {Name} states{AtRandom}");
}
