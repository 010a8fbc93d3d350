using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// What a step makes of the gradients before anything else: division by a loss scale, clipping by the norm of all of them,
/// clipping of each element, in this order; and whether it is taken at all. See <see cref="Optimizer.GradientOptions"/>.
/// </summary>
/// <remarks>
/// A <see cref="DimerOptimizer"/> divides all gradients by the loss scale first; its curvature and its rotations see nothing
/// of the rest. The corrected gradient is what is clipped: multiplied as the norm of the gradient itself demands, then each
/// element, the correction included.
/// </remarks>
public sealed record GradientOptions
{
    /// <summary>
    /// Gradients are multiplied with min(1, MaxNorm / (norm + 1e-6)), norm being that of all of the set's gradients together,
    /// as torch's <c>clip_grad_norm_</c> (Pascanu et al. 2013). Finite, and at least 1.18e-38, the least normal float; null: not
    /// clipped.
    /// </summary>
    public double? MaxNorm { get; init; }

    /// <summary>
    /// Each element is clipped to -MaxValue .. MaxValue, as torch's <c>clip_grad_value_</c>. Normal and finite as a float
    /// (1.18e-38 to 3.4e38); null: not clipped.
    /// </summary>
    public double? MaxValue { get; init; }

    /// <summary>
    /// The gradients are those of the loss times this number, and are divided by it. Normal and finite as a float (1.18e-38 to
    /// 3.4e38), since a float32 loss can be multiplied by no other number. See <see cref="GradScaler"/>.
    /// </summary>
    public double LossScale { get; init; } = 1;

    /// <summary>
    /// Whether a step with a gradient that is not finite is skipped: nothing is written, and it is not counted. A gradient may
    /// also stop to be finite on its way to the rule: divided by a loss scale below 1, or corrected by a dimer, which can make it
    /// 1 + <see cref="DimerOptions.Alpha"/> times longer. Where either is possible, a step is skipped, too, if the norm of all
    /// gradients, as large as both can make it, is more than a float holds. What a rule makes of a gradient, such as a square
    /// that overflows (above 1.8e19), is not looked at; docs/precision.md says what becomes of it. On CUDA the optimizer has to be
    /// capturable (<see cref="Optimizer.SetCapturable"/>), since the device decides.
    /// </summary>
    public bool SkipNonFinite { get; init; }

    internal unsafe nopt_grad_options ToNative(string paramName)
    {
        if (MaxNorm is double maxNorm)
        {
            Check.PositiveOrLarger(maxNorm, nameof(MaxNorm), paramName);
        }

        if (MaxValue is double maxValue)
        {
            Check.Positive(maxValue, nameof(MaxValue), paramName);
        }

        Check.Positive(LossScale, nameof(LossScale), paramName);
        return new nopt_grad_options
        {
            struct_size = (uint)sizeof(nopt_grad_options),
            flags = (MaxNorm is null ? 0 : (uint)nopt_grad_flag.NOPT_GRAD_CLIP_NORM)
                | (MaxValue is null ? 0 : (uint)nopt_grad_flag.NOPT_GRAD_CLIP_VALUE)
                | (SkipNonFinite ? (uint)nopt_grad_flag.NOPT_GRAD_SKIP_NONFINITE : 0),
            max_norm = MaxNorm ?? 0,
            max_value = MaxValue ?? 0,
            loss_scale = LossScale,
        };
    }
}

/// <summary>What became of the gradients in a step.</summary>
/// <param name="Skipped">Whether the step was skipped.</param>
/// <param name="SkippedSteps">All skipped steps so far.</param>
/// <param name="Norm">
/// The norm of all gradients, after division by the loss scale and before clipping; 0 where no option needs it.
/// </param>
/// <param name="ClipCoefficient">What clipping by the norm multiplied with; 1 without it.</param>
public readonly record struct GradientStatus(bool Skipped, long SkippedSteps, double Norm, double ClipCoefficient);
