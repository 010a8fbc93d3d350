using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Saddles;

/// <summary>
/// A function with a saddle point that optimizers are to leave. It is computed in double, so that what a run shows is the
/// optimizer's doing; only parameters and gradients are float32. Its functions may be called from several threads.
/// </summary>
internal abstract class SaddleProblem
{
    // Selects the numbers that problems are made of: always the same problem, whatever the seed of the starts.
    protected const ulong ProblemSeed = 20;

    /// <summary>All problems of <c>nativeopt saddle</c>.</summary>
    public static IReadOnlyList<SaddleProblem> All { get; } =
        [new QuadraticProblem(), new MonkeyProblem(), new LinearNetworkProblem(), new FactorizationProblem()];

    /// <summary>What the command line calls it.</summary>
    public abstract string Name { get; }

    /// <summary>The function and its saddle point, in one sentence.</summary>
    public abstract string Description { get; }

    /// <summary>The elements of each tensor; parameters are all of them, one after another.</summary>
    public abstract IReadOnlyList<int> TensorSizes { get; }

    /// <summary>The saddle point.</summary>
    public abstract ReadOnlySpan<double> Saddle { get; }

    /// <summary>The smallest eigenvalue of the Hessian at the saddle point.</summary>
    public abstract double SmallestCurvature { get; }

    /// <summary>A unit eigenvector to <see cref="SmallestCurvature"/>; empty if that is not negative.</summary>
    public abstract ReadOnlySpan<double> EscapeDirection { get; }

    /// <summary>How far from the saddle point the runs begin.</summary>
    public virtual double StartDistance => 1e-3;

    /// <summary>The loss at the saddle point.</summary>
    public abstract double SaddleLoss { get; }

    /// <summary>By how much the loss can fall along the escape direction, or along the valley that it leads into.</summary>
    public abstract double Depth { get; }

    /// <summary>A run has left the saddle point when its loss is at most this: half the <see cref="Depth"/> down.</summary>
    public double Goal => SaddleLoss - (Depth / 2);

    /// <summary>The number of parameters.</summary>
    public int Dimension => TensorSizes.Sum();

    /// <summary>The loss, and its gradient at the same parameters.</summary>
    public abstract double Evaluate(ReadOnlySpan<double> parameters, Span<double> gradient);

    /// <summary>The point where a run begins, in a random direction from the saddle point.</summary>
    public double[] Start(ulong seed, ulong number)
    {
        double[] start = RandomVectors.Unit(new DeterministicRandom(seed, number), Dimension);
        for (int i = 0; i < start.Length; i++)
        {
            start[i] = Saddle[i] + (StartDistance * start[i]);
        }

        return start;
    }

    /// <summary>Orthonormal rows with random directions, by Gram and Schmidt.</summary>
    protected static double[][] RandomOrthonormalRows(DeterministicRandom random, int rows, int columns)
    {
        double[][] result = new double[rows][];
        for (int i = 0; i < rows; i++)
        {
            result[i] = RandomVectors.Unit(random, columns);
            for (int j = 0; j < i; j++)
            {
                Dense.Add(-Dense.Dot(result[j], result[i]), result[j], result[i]);
            }

            RandomVectors.Normalize(result[i]);
        }

        return result;
    }
}
