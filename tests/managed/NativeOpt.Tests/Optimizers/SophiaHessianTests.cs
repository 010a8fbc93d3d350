using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Estimates of the Hessian's diagonal, where it is known.</summary>
public class SophiaHessianTests
{
    private const int Size = 6;
    private const double Displacement = 0.25;

    [Fact]
    public void Hutchinsons_estimate_is_exact_for_a_diagonal_Hessian()
    {
        double[] diagonal = [3, -2, 0, 0.5, 1, -0.25];
        float[] estimate = Estimate((i, j) => i == j ? diagonal[i] : 0, new Random(1));
        for (int i = 0; i < Size; i++)
        {
            Assert.Equal(diagonal[i], estimate[i], 1e-5);
        }
    }

    [Fact]
    public void Hutchinsons_estimate_is_right_on_average()
    {
        const int Probes = 20_000;
        Random random = new(2);
        double[] mean = new double[Size];
        for (int probe = 0; probe < Probes; probe++)
        {
            float[] estimate = Estimate(Hessian, random);
            for (int i = 0; i < Size; i++)
            {
                mean[i] += estimate[i] / (double)Probes;
            }
        }

        // An element's variance is the sum of the squares beside the diagonal.
        for (int i = 0; i < Size; i++)
        {
            double variance = Enumerable.Range(0, Size).Where(j => j != i).Sum(j => Hessian(i, j) * Hessian(i, j));
            Assert.InRange(Math.Abs(mean[i] - Hessian(i, i)), 0, 5 * Math.Sqrt(variance / Probes));
        }
    }

    [Fact]
    public void A_dimers_direction_is_a_probe()
    {
        const int Probes = 20_000;
        Random random = new(3);
        double[] mean = new double[Size];
        for (int probe = 0; probe < Probes; probe++)
        {
            double[] normal = [.. Enumerable.Range(0, Size).Select(_ => Gaussian(random))];
            double length = Math.Sqrt(normal.Sum(static x => x * x));
            float[] direction = [.. normal.Select(x => (float)(x / length))];
            float[] gradient = Gradient(Hessian, new double[Size]);
            float[] displaced = Gradient(Hessian, [.. direction.Select(static x => Displacement * x)]);
            float[] u = [.. direction.Select(static x => (float)(x * Math.Sqrt(Size)))], estimate = new float[Size];
            SophiaHessian.Hutchinson(u, gradient, displaced, Displacement / Math.Sqrt(Size), estimate);
            for (int i = 0; i < Size; i++)
            {
                mean[i] += estimate[i] / (double)Probes;
            }
        }

        for (int i = 0; i < Size; i++)
        {
            Assert.Equal(Hessian(i, i), mean[i], 0.1);
        }
    }

    /// <summary>
    /// Of a softmax over two classes with logit θ and −θ, the Gauss-Newton matrix is 4p(1 − p), and the gradient with a label that is
    /// drawn from p is 2(p − 1) or 2p.
    /// </summary>
    [Fact]
    public void The_Gauss_Newton_Bartlett_estimate_is_right_on_average()
    {
        const int Batch = 16, Draws = 20_000;
        double p = 1 / (1 + Math.Exp(-2 * 0.3));
        Random random = new(4);
        double mean = 0;
        float[] estimate = new float[1];
        for (int draw = 0; draw < Draws; draw++)
        {
            double gradient = Enumerable.Range(0, Batch).Average(_ => random.NextDouble() < p ? 2 * (p - 1) : 2 * p);
            SophiaHessian.GaussNewtonBartlett([(float)gradient], Batch, estimate);
            mean += estimate[0] / Draws;
        }

        Assert.Equal(4 * p * (1 - p), mean, 0.03);
    }

    [Fact]
    public void Arguments_are_checked()
    {
        float[] two = new float[2], three = new float[3];
        Assert.Throws<ArgumentException>(() => SophiaHessian.GaussNewtonBartlett(two, 1, three));
        Assert.Throws<ArgumentOutOfRangeException>(() => SophiaHessian.GaussNewtonBartlett(two, 0, two));
        Assert.Throws<ArgumentNullException>(() => SophiaHessian.FillProbe(two, null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => SophiaHessian.Hutchinson(two, two, two, 0, two));
        Assert.Throws<ArgumentException>(() => SophiaHessian.Hutchinson(two, three, two, 1, two));
        Assert.Throws<ArgumentException>(() => SophiaHessian.Hutchinson(two, two, three, 1, two));
        Assert.Throws<ArgumentException>(() => SophiaHessian.Hutchinson(three, two, two, 1, two));
    }

    private static double Hessian(int i, int j) => i == j ? 2 - i : 0.3 * Math.Cos(i + j);

    private static float[] Estimate(Func<int, int, double> hessian, Random random)
    {
        float[] probe = new float[Size], estimate = new float[Size];
        SophiaHessian.FillProbe(probe, random);
        Assert.All(probe, static value => Assert.Equal(1, Math.Abs(value)));
        double[] at = [.. Enumerable.Range(0, Size).Select(static i => 0.1 * i)];
        SophiaHessian.Hutchinson(
            probe, Gradient(hessian, at), Gradient(hessian, [.. at.Zip(probe, static (x, u) => x + (Displacement * u))]), Displacement,
            estimate);
        return estimate;
    }

    private static float[] Gradient(Func<int, int, double> hessian, double[] at) =>
        [.. Enumerable.Range(0, Size).Select(i => (float)Enumerable.Range(0, Size).Sum(j => hessian(i, j) * at[j]))];

    private static double Gaussian(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
