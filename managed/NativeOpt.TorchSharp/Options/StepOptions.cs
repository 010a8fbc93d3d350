namespace NativeOpt.TorchSharp;

/// <summary>What fused steps can do beyond TorchSharp's optimizers. All of it is off by default.</summary>
public sealed record StepOptions
{
    /// <summary>
    /// Whether steps of float16 and bfloat16 parameters are taken in float32 copies of them, of which the parameters are the
    /// rounded values; states are float32 then. Small updates add up this way, which 16 bits would lose. Float32 parameters have
    /// no copy. After a change of the parameters from outside call <see cref="Modules.FusedOptimizer.reset_master_weights"/>.
    /// </summary>
    /// <remarks>State files of such an optimizer are of its own format, which TorchSharp's optimizers do not read.</remarks>
    public bool MasterWeights { get; init; }

    /// <summary>
    /// Whether bfloat16 states, those of bfloat16 parameters without <see cref="MasterWeights"/>, are rounded up or down at random, right
    /// on average (Croci et al. 2022), and not to nearest, where a second moment with the usual β₂ of 0.999 neither rises nor decays
    /// as it should. Other states are not concerned.
    /// </summary>
    public bool StochasticRoundingStates { get; init; }

    /// <summary>Selects the random numbers of <see cref="StochasticRoundingStates"/>: equal seeds give equal bits.</summary>
    public ulong RoundingSeed { get; init; }

    /// <summary>
    /// Clips the gradients within the step so that the norm of all of them together is at most this, as
    /// <c>torch.nn.utils.clip_grad_norm_</c> (Pascanu et al. 2013). The gradients themselves stay as they are. 1.18e-38 to
    /// 3.4e38; null: not clipped.
    /// </summary>
    public double? MaxGradNorm { get; init; }

    /// <summary>
    /// Clips each element of the gradients within the step to -MaxGradValue .. MaxGradValue, as
    /// <c>torch.nn.utils.clip_grad_value_</c>. 1.18e-38 to 3.4e38; null: not clipped.
    /// </summary>
    public double? MaxGradValue { get; init; }

    /// <summary>
    /// Whether a step with a gradient that is not finite is skipped: it changes nothing and is not counted. A
    /// <see cref="GradScaler"/> sets this itself.
    /// </summary>
    public bool SkipNonFinite { get; init; }

    /// <summary>The options as the library takes them; null if steps do nothing with the gradients.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    internal GradientOptions? ToGradientOptions()
    {
        RequireInRange(MaxGradNorm, double.MaxValue, nameof(MaxGradNorm));
        RequireInRange(MaxGradValue, float.MaxValue, nameof(MaxGradValue));
        return MaxGradNorm is null && MaxGradValue is null && !SkipNonFinite
            ? null
            : new GradientOptions { MaxNorm = MaxGradNorm, MaxValue = MaxGradValue, SkipNonFinite = SkipNonFinite };
    }

    private static void RequireInRange(double? value, double largest, string name)
    {
        if (value is { } given && !(given > 0 && given <= largest))
        {
            throw new ArgumentOutOfRangeException(name, given, "It must be above 0 and finite; null is for no clipping.");
        }
    }
}
