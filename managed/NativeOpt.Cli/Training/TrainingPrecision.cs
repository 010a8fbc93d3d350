namespace NativeOpt.Cli.Training;

/// <summary>How many bits of a model's parameters are stored, and where.</summary>
/// <param name="DType">The element type of parameters and gradients; the model computes in float32 in any case.</param>
/// <param name="MasterWeights">What the optimizer keeps of them beyond it.</param>
/// <param name="RoundingSeed">Of stochastic rounding; null: to nearest.</param>
internal sealed record TrainingPrecision(DType DType, MasterWeights MasterWeights, ulong? RoundingSeed = null)
{
    /// <summary>Parameters and gradients of the model's own type.</summary>
    public static TrainingPrecision Float32 { get; } = new(DType.Float32, MasterWeights.None);

    /// <summary>Options of an optimizer that keeps parameters so.</summary>
    public T ApplyTo<T>(T options)
        where T : OptimizerOptions =>
        (T)(options with
        {
            MasterWeights = MasterWeights,
            StochasticRounding = RoundingSeed is not null,
            RoundingSeed = RoundingSeed ?? 0,
        });

    /// <summary>For people.</summary>
    public override string ToString() => (DType, MasterWeights) switch
    {
        (DType.Float32, _) => "float32",
        (_, MasterWeights.Remainder) => "bfloat16 with remainders",
        (_, MasterWeights.Float32) => "bfloat16 with float32 masters",
        _ => RoundingSeed is null ? "bfloat16, rounded to nearest" : "bfloat16, rounded at random",
    };
}
