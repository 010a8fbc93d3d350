using System.Numerics.Tensors;
using NativeOpt.Cli.Hessians;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Hessians;

/// <summary>Eigenvalues, density and trace of matrices whose eigenvalues are known.</summary>
public sealed class LanczosTests
{
    // Two outliers at each end of eigenvalues from 0 to 1.
    private static readonly double[] _eigenvalues =
        [-3, -2, .. Enumerable.Range(0, 196).Select(static i => i / 195.0), 7, 10];

    [Fact]
    public void Extreme_eigenvalues_are_found_with_their_vectors_and_bounds()
    {
        var matrix = new KnownMatrix(_eigenvalues, seed: 1);
        int products = 0;
        var lanczos = new Lanczos(matrix, FlatnessLine.RandomUnit(200, 3, 0), 40, () => products++, CancellationToken.None);
        Assert.Equal(40, products);
        Assert.Equal([-3, -2], lanczos.Pairs.Take(2).Select(static pair => Math.Round(pair.Value, 8)));
        Assert.Equal([7, 10], lanczos.Pairs.TakeLast(2).Select(static pair => Math.Round(pair.Value, 8)));
        Assert.Equal(1, lanczos.Pairs.Sum(static pair => pair.Weight), 1e-12);
        foreach ((int i, RitzPair pair) in lanczos.Pairs.Index())
        {
            double[] vector = lanczos.Vector(i);
            double[] rest = new double[200];
            matrix.Multiply(vector, rest);
            TensorPrimitives.MultiplyAdd(vector, -pair.Value, rest, rest);
            Assert.Equal(1, TensorPrimitives.Norm<double>(vector), 1e-10);
            Assert.Equal(pair.Residual, TensorPrimitives.Norm<double>(rest), 1e-10);
            Assert.True(_eigenvalues.Min(own => Math.Abs(own - pair.Value)) <= pair.Residual + 1e-10);
        }
    }

    [Fact]
    public void An_invariant_space_ends_the_iteration()
    {
        var matrix = new KnownMatrix([.. Enumerable.Repeat(2.0, 20), .. Enumerable.Repeat(5.0, 10)], seed: 1);
        var lanczos = new Lanczos(matrix, FlatnessLine.RandomUnit(30, 3, 0), 25, static () => { }, CancellationToken.None);
        Assert.Equal([2, 5], lanczos.Pairs.Select(static pair => Math.Round(pair.Value, 10)));
        Assert.All(lanczos.Pairs, static pair => Assert.InRange(pair.Residual, 0, 1e-9));
        var all = new Lanczos(new KnownMatrix([1, 2, 4], 1), [1, 1, 1], 100, static () => { }, CancellationToken.None);
        Assert.Equal([1, 2, 4], all.Pairs.Select(static pair => Math.Round(pair.Value, 10)));
    }

    [Fact]
    public void Cancellation_ends_the_iteration()
    {
        using var stop = new CancellationTokenSource();
        int products = 0;
        Assert.Throws<OperationCanceledException>(() => new Lanczos(
            new KnownMatrix(_eigenvalues, 1), FlatnessLine.RandomUnit(200, 3, 0), 40, StopAtThree, stop.Token));
        Assert.Equal(3, products);

        void StopAtThree()
        {
            if (++products == 3)
            {
                stop.Cancel();
            }
        }
    }

    [Fact]
    public void Density_and_trace_are_those_of_the_matrix()
    {
        var matrix = new KnownMatrix(_eigenvalues, seed: 1);
        IReadOnlyList<RitzPair>[] probes =
        [
            .. Enumerable.Range(0, 200).Select(probe =>
                new Lanczos(matrix, Signs(probe), 40, static () => { }, CancellationToken.None).Pairs),
        ];
        var density = new SpectralDensity(probes, 200);
        double trace = _eigenvalues.Sum();
        Assert.InRange(density.TraceError, 0.1, 3);
        Assert.Equal(trace, density.Trace, 4 * density.TraceError);

        // A fortieth of the eigenvalues is at either side's outliers, and the integral is 1.
        IReadOnlyList<(double Eigenvalue, double Density)> curve = density.Curve(2001);
        double step = curve[1].Eigenvalue - curve[0].Eigenvalue;
        Assert.Equal(1, step * curve.Sum(static point => point.Density), 1e-3);
        Assert.Equal(0.01, step * curve.Where(static point => point.Eigenvalue < -1).Sum(static point => point.Density), 2e-3);
        Assert.Equal(0.01, step * curve.Where(static point => point.Eigenvalue > 4).Sum(static point => point.Density), 2e-3);
        Assert.Equal(0.5, step * curve.Where(static point => point.Eigenvalue < 0.5).Sum(static point => point.Density), 3e-2);

        static double[] Signs(int probe)
        {
            var random = new DeterministicRandom(9, (ulong)probe);
            return [.. Enumerable.Range(0, 200).Select(_ => random.NextInt32(2) == 0 ? -1.0 : 1)];
        }
    }

    /// <summary>A reflection of a diagonal matrix: (I − 2uuᵀ) Λ (I − 2uuᵀ).</summary>
    private sealed class KnownMatrix(double[] eigenvalues, ulong seed) : ISymmetricOperator
    {
        private readonly double[] _mirror = FlatnessLine.RandomUnit(eigenvalues.Length, seed, 0);

        public int Dimension => eigenvalues.Length;

        public void Multiply(ReadOnlySpan<double> vector, Span<double> product)
        {
            vector.CopyTo(product);
            Reflect(product);
            TensorPrimitives.Multiply(product, eigenvalues, product);
            Reflect(product);
        }

        private void Reflect(Span<double> vector) =>
            TensorPrimitives.MultiplyAdd(_mirror, -2 * TensorPrimitives.Dot<double>(_mirror, vector), vector, vector);
    }
}
