namespace NativeOpt.Cli.Hessians;

/// <summary>An exact product beside the central difference of two gradients.</summary>
/// <param name="Vector">What was multiplied.</param>
/// <param name="Difference">|exact − difference| / |exact|.</param>
internal sealed record ProductCheck(string Vector, double Difference);

/// <summary>What was computed around a solution.</summary>
/// <param name="Name">What the table calls it.</param>
/// <param name="Parameters">The number of parameters.</param>
/// <param name="Loss">The loss there.</param>
/// <param name="GradientNorm">The length of the gradient there: at a minimum it would be 0.</param>
/// <param name="Pairs">What Lanczos' iteration has found, the smallest eigenvalue first. No residual is smaller than that of a new
/// product with the largest pair, since the iteration does not see the rounding of its products.</param>
/// <param name="Density">The density of the eigenvalues, and the trace.</param>
/// <param name="Lines">The losses along each direction, at the distances of the plan.</param>
/// <param name="Checks">How far the exact products are from gradient differences.</param>
internal sealed record HessianResult(
    string Name,
    int Parameters,
    double Loss,
    double GradientNorm,
    IReadOnlyList<RitzPair> Pairs,
    SpectralDensity Density,
    IReadOnlyList<IReadOnlyList<double>> Lines,
    IReadOnlyList<ProductCheck> Checks)
{
    /// <summary>The largest eigenvalues, the largest first.</summary>
    public IEnumerable<RitzPair> Largest => Pairs.Reverse();

    /// <summary>The mean loss over the directions, at each distance.</summary>
    public IEnumerable<double> MeanLine => Enumerable.Range(0, HessianPlan.Points).Select(i => Lines.Average(line => line[i]));
}
