namespace NativeOpt;

/// <summary>
/// Estimates of the Hessian's diagonal for <see cref="Sophia.SetHessian(ReadOnlySpan{TensorRef})"/>, from gradients that a host
/// has: those of Liu et al. 2023 (arXiv 2305.14342), section 2.3.
/// </summary>
/// <remarks>
/// They work on memory of the host, tensor by tensor. A host that has its gradients on a device computes the same there, in one
/// line of its framework each.
/// </remarks>
/// <example>
/// Every ten steps, with labels drawn from the model's own predictions:
/// <code>
/// SophiaHessian.GaussNewtonBartlett(sampledGradient, batchSize, estimate);
/// optimizer.SetHessian([estimateTensor]);
/// optimizer.Step();
/// optimizer.ClearHessian();
/// </code>
/// </example>
public static class SophiaHessian
{
    /// <summary>
    /// The Gauss-Newton-Bartlett estimate (algorithm 2 of the paper): B·ĝ², for a loss that is the mean of cross entropies. It is
    /// never negative.
    /// </summary>
    /// <param name="sampledGradient">
    /// ĝ: the gradient of the batch's mean loss with labels that were drawn from the model's own predictions, and not the data's.
    /// </param>
    /// <param name="batchSize">B: the number of predictions in the batch; for a language model that of tokens. Above 0.</param>
    /// <param name="estimate">Receives the estimate; as many elements.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="batchSize"/> is not above 0.</exception>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void GaussNewtonBartlett(ReadOnlySpan<float> sampledGradient, long batchSize, Span<float> estimate)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        RequireLength(sampledGradient.Length, estimate.Length, nameof(sampledGradient));
        for (int i = 0; i < estimate.Length; i++)
        {
            estimate[i] = batchSize * (sampledGradient[i] * sampledGradient[i]);
        }
    }

    /// <summary>
    /// Fills a probe for <see cref="Hutchinson"/> with 1 and −1 at random. Of all random probes with independent elements this one has the
    /// estimate of the least variance; it is exact where the Hessian is diagonal.
    /// </summary>
    /// <param name="probe">Receives the probe.</param>
    /// <param name="random">Where randomness comes from; another state for each tensor and estimate.</param>
    /// <exception cref="ArgumentNullException"><paramref name="random"/> is null.</exception>
    public static void FillProbe(Span<float> probe, Random random)
    {
        ArgumentNullException.ThrowIfNull(random);
        for (int i = 0; i < probe.Length; i++)
        {
            probe[i] = random.Next(2) == 0 ? -1 : 1;
        }
    }

    /// <summary>
    /// Hutchinson's estimate (algorithm 1 of the paper): u ⊙ Hu, with Hu from two gradients, (∇L(θ + δu) − ∇L(θ))/δ.
    /// </summary>
    /// <param name="probe">
    /// u: a probe of <see cref="FillProbe"/> over all tensors; or any other whose elements are independent, with mean 0 and variance 1.
    /// </param>
    /// <param name="gradient">∇L(θ), of this tensor.</param>
    /// <param name="displacedGradient">∇L(θ + δu), after all tensors were displaced, on the same data.</param>
    /// <param name="displacement">
    /// δ, not 0. The difference loses digits where it is too small, and sees the change of curvature where it is too large; 1e-3 is a
    /// start for parameters of about 0.1.
    /// </param>
    /// <param name="estimate">Receives the estimate, which may be negative; as many elements.</param>
    /// <remarks>
    /// A <see cref="DimerOptimizer"/>'s two gradients serve, too: its direction N̂ over d elements, drawn at random and not turned yet, times √d
    /// is such a probe, and its displacement ΔR over √d is δ.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="displacement"/> is 0 or not finite.</exception>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void Hutchinson(
        ReadOnlySpan<float> probe, ReadOnlySpan<float> gradient, ReadOnlySpan<float> displacedGradient, double displacement,
        Span<float> estimate)
    {
        if (displacement == 0 || !double.IsFinite(displacement))
        {
            throw new ArgumentOutOfRangeException(nameof(displacement), displacement, "It must be finite, and not 0.");
        }

        RequireLength(probe.Length, estimate.Length, nameof(probe));
        RequireLength(gradient.Length, estimate.Length, nameof(gradient));
        RequireLength(displacedGradient.Length, estimate.Length, nameof(displacedGradient));
        for (int i = 0; i < estimate.Length; i++)
        {
            estimate[i] = (float)(probe[i] * (((double)displacedGradient[i] - gradient[i]) / displacement));
        }
    }

    private static void RequireLength(int length, int expected, string name)
    {
        if (length != expected)
        {
            throw new ArgumentException($"{name} has {length} elements, but the estimate has {expected}.", name);
        }
    }
}
