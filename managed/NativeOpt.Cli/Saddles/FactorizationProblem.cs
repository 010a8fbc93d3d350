using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Saddles;

/// <summary>
/// ½|UVᵀ − M|² of a matrix M of rank r, at the point where U and V hold all pairs of singular vectors but the weakest,
/// and their last columns are 0. The Hessian's smallest eigenvalue there is −σᵣ, along the pair that is missing.
/// </summary>
internal sealed class FactorizationProblem : SaddleProblem
{
    private const int Rows = 30;
    private const int Columns = 20;
    private static readonly double[] _singularValues = [5, 4, 3, 2, 1];

    private readonly double[] _target = new double[Rows * Columns];
    private readonly double[] _saddle = new double[(Rows + Columns) * Rank];
    private readonly double[] _escape = new double[(Rows + Columns) * Rank];

    public FactorizationProblem()
    {
        var random = new DeterministicRandom(ProblemSeed);
        double[][] left = RandomOrthonormalRows(random, Rank, Rows);
        double[][] right = RandomOrthonormalRows(random, Rank, Columns);
        for (int k = 0; k < Rank; k++)
        {
            double sigma = _singularValues[k];
            double[] scaled = [.. left[k].Select(x => sigma * x)];
            Dense.AddTransposedProduct(scaled, right[k], _target, Rows, Columns);
            bool isMissing = k == Rank - 1;
            double[] point = isMissing ? _escape : _saddle;
            double factor = isMissing ? Math.Sqrt(0.5) : Math.Sqrt(sigma);
            for (int i = 0; i < Rows; i++)
            {
                point[(i * Rank) + k] = factor * left[k][i];
            }

            for (int i = 0; i < Columns; i++)
            {
                point[((Rows + i) * Rank) + k] = factor * right[k][i];
            }
        }
    }

    public override string Name => "factorization";

    public override string Description =>
        "|UVᵀ - M|²/2 of a 30x20 matrix of singular values 5, 4, 3, 2, 1, where U and V have all of them but the 1";

    public override IReadOnlyList<int> TensorSizes { get; } = [Rows * Rank, Columns * Rank];

    public override ReadOnlySpan<double> Saddle => _saddle;

    public override double SmallestCurvature => -_singularValues[^1];

    public override ReadOnlySpan<double> EscapeDirection => _escape;

    public override double SaddleLoss => 0.5 * _singularValues[^1] * _singularValues[^1];

    public override double Depth => SaddleLoss;

    private static int Rank => _singularValues.Length;

    public override double Evaluate(ReadOnlySpan<double> parameters, Span<double> gradient)
    {
        ReadOnlySpan<double> u = parameters[..(Rows * Rank)];
        ReadOnlySpan<double> v = parameters[(Rows * Rank)..];
        Span<double> error = stackalloc double[Rows * Columns];
        Dense.AddProductTransposed(u, v, error, Rank);
        Dense.Add(-1, _target, error);
        gradient.Clear();
        Dense.AddProduct(error, v, gradient[..(Rows * Rank)], Columns, Rank);
        Dense.AddTransposedProduct(error, u, gradient[(Rows * Rank)..], Columns, Rank);
        return 0.5 * Dense.Dot(error, error);
    }
}
