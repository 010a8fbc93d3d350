using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What the options of all optimizers have in common.</summary>
/// <remarks>Numbers are computed with in double and rounded to float once, where a step uses them.</remarks>
public abstract record OptimizerOptions
{
    private protected OptimizerOptions()
    {
    }

    /// <summary>The learning rate, finite and >= 0; 1e-3 by default.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>The weight decay, finite and >= 0; a tensor may have its own (<see cref="TensorOptions.WeightDecay"/>).</summary>
    public double WeightDecay { get; init; }

    /// <summary>Whether to ascend: the gradient's sign is flipped before anything else.</summary>
    public bool Maximize { get; init; }

    /// <summary>What the native step takes. Fields that the rule does not read stay 0.</summary>
    internal virtual nopt_hyperparams ToNative() => new()
    {
        lr = LearningRate,
        weight_decay = WeightDecay,
        flags = Flag(Maximize, nopt_flag.NOPT_FLAG_MAXIMIZE),
    };

    private protected static uint Flag(bool isSet, nopt_flag flag) => isSet ? (uint)flag : 0;
}
