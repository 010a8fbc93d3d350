using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Landscapes;

/// <summary>A point of a path.</summary>
internal readonly record struct LandscapePoint(double X, double Y, double Loss);

/// <summary>What an optimizer did on a landscape.</summary>
/// <param name="Landscape">The landscape.</param>
/// <param name="Recipe">The optimizer.</param>
/// <param name="LearningRate">Its learning rate.</param>
/// <param name="Points">The start and the points after each step, as far as they are in the landscape's square.</param>
/// <param name="HasLeft">Whether it ended early, since the next step would have left the square.</param>
/// <param name="GradientEvaluations">Gradients computed; more than the steps where a dimer needs them.</param>
internal sealed record LandscapeRun(
    Landscape Landscape,
    OptimizerRecipe Recipe,
    double LearningRate,
    IReadOnlyList<LandscapePoint> Points,
    bool HasLeft,
    long GradientEvaluations)
{
    /// <summary>Steps whose points are in the square.</summary>
    public int Steps => Points.Count - 1;

    /// <summary>The last point in the square.</summary>
    public LandscapePoint End => Points[^1];

    /// <summary>The length of the gradient there, without noise.</summary>
    public double EndGradient => Landscape.Evaluate(End.X, End.Y).GradientNorm;

    /// <summary>The largest eigenvalue of the Hessian there.</summary>
    public double Sharpness => Landscape.Hessian(End.X, End.Y).Sharpness;
}
