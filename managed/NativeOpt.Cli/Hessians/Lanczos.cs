using MathNet.Numerics.LinearAlgebra;
using MathNet.Numerics.LinearAlgebra.Factorization;
using System.Numerics.Tensors;

namespace NativeOpt.Cli.Hessians;

/// <summary>An eigenvalue that Lanczos' iteration has found, or approaches.</summary>
/// <param name="Value">The Ritz value θ.</param>
/// <param name="Residual">|Ax − θx| of its unit vector x: some eigenvalue is no farther from θ than this.</param>
/// <param name="Weight">The square of the first component in the basis: what the start has of x.</param>
internal readonly record struct RitzPair(double Value, double Residual, double Weight);

/// <summary>
/// Lanczos' iteration with full reorthogonalisation: after m products of a symmetric matrix with vectors, its restriction to the space
/// that they span, whose extreme eigenvalues approach those of the matrix first.
/// </summary>
internal sealed class Lanczos
{
    // Of the largest number so far in the tridiagonal matrix: a next vector so short is rounding, since the space is invariant.
    private const double Breakdown = 1e-10;

    private readonly List<double[]> _basis = [];
    private readonly Evd<double> _eigen;

    /// <summary>Runs the iteration.</summary>
    /// <param name="matrix">The matrix.</param>
    /// <param name="start">Where it starts; its length does not matter.</param>
    /// <param name="steps">The most products; fewer if the space is invariant before.</param>
    /// <param name="afterEach">Called after each product.</param>
    /// <param name="stop">Ends it.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public Lanczos(ISymmetricOperator matrix, ReadOnlySpan<double> start, int steps, Action afterEach, CancellationToken stop)
    {
        List<double> diagonal = [];
        List<double> offDiagonal = [];
        double[] next = start.ToArray();
        double norm = TensorPrimitives.Norm<double>(next);
        double largest = 0;
        while (diagonal.Count < Math.Min(steps, matrix.Dimension) && norm > Breakdown * largest)
        {
            stop.ThrowIfCancellationRequested();
            TensorPrimitives.Divide(next, norm, next);
            _basis.Add(next);
            double[] product = new double[next.Length];
            matrix.Multiply(next, product);
            afterEach();
            double along = TensorPrimitives.Dot<double>(next, product);
            diagonal.Add(along);

            // Twice is enough: what is left of the basis is then rounding (Parlett 1980, Kahan).
            Orthogonalise(product);
            Orthogonalise(product);
            norm = TensorPrimitives.Norm<double>(product);
            offDiagonal.Add(norm);
            largest = Math.Max(largest, Math.Max(Math.Abs(along), norm));
            next = product;
        }

        int count = diagonal.Count;
        Matrix<double> tridiagonal = Matrix<double>.Build.Dense(
            count, count, (i, j) => i == j ? diagonal[i] : Math.Abs(i - j) == 1 ? offDiagonal[Math.Min(i, j)] : 0);
        _eigen = tridiagonal.Evd(Symmetricity.Symmetric);
        Pairs =
        [
            .. Enumerable.Range(0, count).Select(i => new RitzPair(
                _eigen.EigenValues[i].Real,
                Math.Abs(offDiagonal[^1] * _eigen.EigenVectors[count - 1, i]),
                _eigen.EigenVectors[0, i] * _eigen.EigenVectors[0, i])),
        ];
    }

    /// <summary>The Ritz pairs, the smallest value first.</summary>
    public IReadOnlyList<RitzPair> Pairs { get; }

    /// <summary>The unit vector of a pair.</summary>
    public double[] Vector(int pair)
    {
        double[] vector = new double[_basis[0].Length];
        for (int i = 0; i < _basis.Count; i++)
        {
            TensorPrimitives.MultiplyAdd(_basis[i], _eigen.EigenVectors[i, pair], vector, vector);
        }

        return vector;
    }

    private void Orthogonalise(double[] vector)
    {
        foreach (double[] other in _basis)
        {
            TensorPrimitives.MultiplyAdd(other, -TensorPrimitives.Dot<double>(other, vector), vector, vector);
        }
    }
}
