using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Saddles;

/// <summary>
/// The expected loss of a linear network of two layers, ½E|W₂W₁x − Tx|² = ½ tr((W₂W₁ − T) S (W₂W₁ − T)ᵀ) with the
/// inputs' covariance S, at W₁ = W₂ = 0. The Hessian there couples the layers by TS alone: for each singular value σ of
/// TS it has ±σ, each as often as there are hidden units, and 0.
/// </summary>
/// <remarks>The rank of T is the hidden width, so the lowest loss is 0.</remarks>
internal sealed class LinearNetworkProblem : SaddleProblem
{
    private const int Inputs = 20;
    private const int Hidden = 10;
    private const int Outputs = 20;
    private const int Layer1 = Hidden * Inputs;
    private const int Layer2 = Outputs * Hidden;

    private readonly double[] _teacher = new double[Outputs * Inputs];
    private readonly double[] _covariance = new double[Inputs * Inputs];
    private readonly double[] _saddle = new double[Layer1 + Layer2];
    private readonly double[] _escape = new double[Layer1 + Layer2];

    public LinearNetworkProblem()
    {
        // With the inputs' principal axes as right singular vectors of T, those of TS are known, too.
        var random = new DeterministicRandom(ProblemSeed);
        double[][] left = RandomOrthonormalRows(random, Hidden, Outputs);
        double[][] axes = RandomOrthonormalRows(random, Inputs, Inputs);
        for (int i = 0; i < Inputs; i++)
        {
            double variance = 0.5 + (1.5 * random.NextDouble());
            Dense.AddTransposedProduct(Scaled(axes[i], variance), axes[i], _covariance, Inputs, Inputs);
            if (i < Hidden)
            {
                double sigma = Math.Pow(0.8, i);
                double strength = sigma / variance;
                Dense.AddTransposedProduct(Scaled(left[i], strength), axes[i], _teacher, Outputs, Inputs);
                SaddleLoss += 0.5 * strength * strength * variance;
                Depth = i == 0 ? SaddleLoss : Depth;
            }
        }

        // Through the first hidden unit; any other unit, or a mixture of them, would do as well.
        for (int i = 0; i < Inputs; i++)
        {
            _escape[i] = axes[0][i] / Math.Sqrt(2);
        }

        for (int i = 0; i < Outputs; i++)
        {
            _escape[Layer1 + (i * Hidden)] = left[0][i] / Math.Sqrt(2);
        }
    }

    public override string Name => "linear-network";

    public override string Description =>
        "E|W₂W₁x - Tx|²/2 of a 20-10-20 network at W₁ = W₂ = 0, where the smallest eigenvalue has 10 eigenvectors";

    public override IReadOnlyList<int> TensorSizes { get; } = [Layer1, Layer2];

    public override ReadOnlySpan<double> Saddle => _saddle;

    public override double SmallestCurvature => -1;

    public override ReadOnlySpan<double> EscapeDirection => _escape;

    public override double SaddleLoss { get; }

    /// <summary>What the strongest pair of singular vectors accounts for.</summary>
    public override double Depth { get; }

    public override double Evaluate(ReadOnlySpan<double> parameters, Span<double> gradient)
    {
        ReadOnlySpan<double> first = parameters[..Layer1];
        ReadOnlySpan<double> second = parameters[Layer1..];
        Span<double> error = stackalloc double[Outputs * Inputs];
        Dense.AddProduct(second, first, error, Hidden, Inputs);
        Dense.Add(-1, _teacher, error);
        Span<double> weighted = stackalloc double[Outputs * Inputs];
        Dense.AddProduct(error, _covariance, weighted, Inputs, Inputs);
        gradient.Clear();
        Dense.AddTransposedProduct(second, weighted, gradient[..Layer1], Hidden, Inputs);
        Dense.AddProductTransposed(weighted, first, gradient[Layer1..], Inputs);
        return 0.5 * Dense.Dot(error, weighted);
    }

    private static double[] Scaled(double[] vector, double factor) => [.. vector.Select(x => factor * x)];
}
