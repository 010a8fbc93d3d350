using System.Runtime.Intrinsics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Saddles;

/// <summary>
/// ½ xᵀHx + ¼ |x|⁴ with an indefinite H = QΛQᵀ. The wall |x|⁴ knows no direction, so the lowest points are known: −¼ at a
/// distance of 1 along the smallest eigenvector.
/// </summary>
/// <remarks>
/// Q must mix all coordinates, or the rules of the Adam family would have a diagonal Hessian to themselves. A dense matrix
/// would take a million products for each gradient; two Walsh-Hadamard transforms with random signs before each of them
/// take n log n, and leave eigenvectors whose elements look like normal random numbers.
/// </remarks>
internal sealed class QuadraticProblem : SaddleProblem
{
    public const double LargestCurvature = 10;

    private const int Size = 1024; // the transform's sizes are powers of two
    private static readonly double[] _negative = [-1, -0.5, -0.4, -0.3, -0.2, -0.1];

    private readonly double[] _eigenvalues = new double[Size];
    private readonly double[] _firstSigns = new double[Size];
    private readonly double[] _secondSigns = new double[Size];
    private readonly double[] _saddle = new double[Size];
    private readonly double[] _escape = new double[Size];

    public QuadraticProblem()
    {
        // The positive ones from 0.01 to 10, evenly by their logarithms.
        _negative.CopyTo(_eigenvalues, 0);
        int positive = Size - _negative.Length;
        for (int i = 0; i < positive; i++)
        {
            _eigenvalues[_negative.Length + i] = LargestCurvature * Math.Pow(10, -3.0 * i / (positive - 1));
        }

        // Each sign has the transform's factor 1/sqrt(n) in it.
        var random = new DeterministicRandom(ProblemSeed);
        double scale = 1 / Math.Sqrt(Size);
        for (int i = 0; i < Size; i++)
        {
            _firstSigns[i] = random.NextInt32(2) == 0 ? scale : -scale;
            _secondSigns[i] = random.NextInt32(2) == 0 ? scale : -scale;
        }

        _escape[0] = 1;
        FromEigenbasis(_escape);
    }

    public override string Name => "quadratic";

    public override string Description =>
        "xᵀHx/2 + |x|⁴/4 at x = 0; H has 6 eigenvalues from -1 to -0.1 and 1,018 from 0.01 to 10, in a random basis";

    public override IReadOnlyList<int> TensorSizes { get; } = [Size];

    public override ReadOnlySpan<double> Saddle => _saddle;

    public override double SmallestCurvature => _negative[0];

    public override ReadOnlySpan<double> EscapeDirection => _escape;

    public override double SaddleLoss => 0;

    public override double Depth => 0.25;

    public override double Evaluate(ReadOnlySpan<double> parameters, Span<double> gradient)
    {
        parameters.CopyTo(gradient);
        ToEigenbasis(gradient);
        double quadratic = 0;
        for (int i = 0; i < gradient.Length; i++)
        {
            double x = gradient[i];
            gradient[i] = _eigenvalues[i] * x;
            quadratic += gradient[i] * x;
        }

        FromEigenbasis(gradient);
        double squared = Dense.Dot(parameters, parameters);
        Dense.Add(squared, parameters, gradient);
        return (0.5 * quadratic) + (0.25 * squared * squared);
    }

    private void ToEigenbasis(Span<double> x)
    {
        Multiply(_firstSigns, x);
        Transform(x);
        Multiply(_secondSigns, x);
        Transform(x);
    }

    private void FromEigenbasis(Span<double> x)
    {
        Transform(x);
        Multiply(_secondSigns, x);
        Transform(x);
        Multiply(_firstSigns, x);
    }

    private static void Multiply(double[] factors, Span<double> x)
    {
        for (int i = 0; i < x.Length; i++)
        {
            x[i] *= factors[i];
        }
    }

    /// <summary>The fast Walsh-Hadamard transform, without its factor.</summary>
    private static void Transform(Span<double> x)
    {
        int width = Vector256<double>.Count;
        for (int half = 1; half < x.Length; half *= 2)
        {
            for (int start = 0; start < x.Length; start += 2 * half)
            {
                Span<double> low = x.Slice(start, half);
                Span<double> high = x.Slice(start + half, half);
                int i = 0;
                for (; i <= half - width; i += width)
                {
                    Vector256<double> a = Vector256.Create<double>(low[i..]);
                    Vector256<double> b = Vector256.Create<double>(high[i..]);
                    (a + b).CopyTo(low[i..]);
                    (a - b).CopyTo(high[i..]);
                }

                for (; i < half; i++)
                {
                    (low[i], high[i]) = (low[i] + high[i], low[i] - high[i]);
                }
            }
        }
    }
}
