using System.Numerics.Tensors;
using NativeOpt.Cli.Hessians;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Hessians;

/// <summary>The loss around a small model: its products, its lines, and the smallest eigenvector that a dimer learns.</summary>
public sealed class LossSurfaceTests
{
    private const int Windows = 10; // more than one part, and one that is not full
    private static readonly GptConfig _small = new(7, 6, 1, 2, 8);

    [Fact]
    public void Products_are_symmetric_and_close_to_gradient_differences()
    {
        LossSurface surface = Create(threads: 2);
        double[] x = FlatnessLine.RandomUnit(surface.Dimension, 1, 1);
        double[] y = FlatnessLine.RandomUnit(surface.Dimension, 1, 2);
        double[] ofX = Multiply(surface, x);
        double scale = TensorPrimitives.Norm<double>(ofX);
        Assert.True(scale > 0.1);
        Assert.Equal(TensorPrimitives.Dot<double>(ofX, y), TensorPrimitives.Dot<double>(Multiply(surface, y), x), 1e-5 * scale);

        double[] differences = new double[x.Length];
        surface.MultiplyByDifferences(x, differences, 3e-3);
        Assert.InRange(TensorPrimitives.Distance<double>(ofX, differences) / scale, 0, 2e-3);

        // The length of a vector is no matter: products are linear.
        double[] longer = [.. x.Select(static value => 1e4 * value)];
        Assert.Equal(1e4 * scale, TensorPrimitives.Norm<double>(Multiply(surface, longer)), 1e-2 * scale);
        Assert.All(Multiply(surface, new double[x.Length]), static value => Assert.Equal(0, value));
    }

    [Fact]
    public void Threads_never_change_a_bit()
    {
        double[] x = FlatnessLine.RandomUnit(Create(threads: 1).Dimension, 1, 1);
        Assert.Equal(Multiply(Create(threads: 1), x), Multiply(Create(threads: 3), x));
    }

    [Fact]
    public void The_loss_along_a_direction_is_that_of_moved_parameters()
    {
        LossSurface surface = Create(threads: 1);
        double[] x = FlatnessLine.RandomUnit(surface.Dimension, 1, 1);
        double atSolution = surface.Loss([], 0);
        double[] product = Multiply(surface, x);
        double curvature = TensorPrimitives.Dot<double>(x, product);

        // A parabola by its middle and its ends: what the gradient adds cancels.
        const double Distance = 0.05;
        double mean = (surface.Loss(x, Distance) + surface.Loss(x, -Distance)) / 2;
        Assert.Equal(curvature, 2 * (mean - atSolution) / (Distance * Distance), 0.02 * Math.Abs(curvature) + 2e-3);
        Assert.Equal(atSolution, surface.Loss([], 0));
    }

    [Fact]
    public void Filter_normalised_directions_have_the_rows_lengths_of_the_solution()
    {
        LossSurface surface = Create(threads: 1);
        double[] direction = FlatnessLine.FilterNormalised(surface, 1, 1);
        int at = 0;
        foreach (GptParameter tensor in surface.Tensors)
        {
            int row = tensor.IsMatrix ? tensor.Shape[1] : tensor.Value.Length;
            for (int i = 0; i < tensor.Value.Length; i += row)
            {
                double expected = tensor.IsMatrix ? TensorPrimitives.Norm<float>(tensor.Value.AsSpan(i, row)) : 0;
                Assert.Equal(expected, TensorPrimitives.Norm<double>(direction.AsSpan(at + i, row)), 1e-6);
            }

            at += tensor.Value.Length;
        }

        Assert.Equal(1, TensorPrimitives.Norm<double>(FlatnessLine.RandomUnit(surface.Dimension, 1, 1)), 1e-12);
    }

    [Fact]
    public void A_dimer_learns_the_smallest_pair_of_Lanczos()
    {
        LossSurface surface = Create(threads: 1);
        var lanczos = new Lanczos(
            surface, FlatnessLine.RandomUnit(surface.Dimension, 1, 1), 200, static () => { }, CancellationToken.None);
        (RitzPair smallest, RitzPair next) = (lanczos.Pairs[0], lanczos.Pairs[1]);
        double[] expected = lanczos.Vector(0);
        Assert.InRange(smallest.Value, -1000, -0.05);
        Assert.InRange(smallest.Residual, 0, 1e-2 * (next.Value - smallest.Value));

        (Gpt model, int[] inputs, int[] targets) = Model();
        using ParameterSet set = ParameterSet.FromArrays(
            [.. model.Parameters.Select(static own => own.Value)], [.. model.Parameters.Select(static own => own.Gradient)]);
        using Sgd optimizer = new(set, new SgdOptions { LearningRate = 0 }); // the solution stays where it is
        using DimerOptimizer dimer = new(
            optimizer, DimerOptions.Recommended with { Interval = 1, Displacement = 1e-2, RotationsPerUpdate = 3, Seed = 5 });
        for (int update = 0; update < 300; update++)
        {
            model.ForwardBackward(inputs, targets, Windows);
            while (dimer.NeedsDisplacedGradient)
            {
                dimer.Displace();
                model.ForwardBackward(inputs, targets, Windows);
            }

            dimer.Step();
        }

        double along = 0;
        int at = 0;
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            float[] direction = new float[model.Parameters[tensor].Value.Length];
            dimer.GetDirection(tensor).CopyTo(direction);
            along += direction.Sum(value => value * expected[at++]);
        }

        Assert.InRange(Math.Abs(along), 0.99, 1.001);
        Assert.Equal(smallest.Value, dimer.GetStatus().Curvature, 0.02 * Math.Abs(smallest.Value));
    }

    private static double[] Multiply(LossSurface surface, double[] vector)
    {
        double[] product = new double[vector.Length];
        surface.Multiply(vector, product);
        return product;
    }

    private static LossSurface Create(int threads)
    {
        (Gpt model, int[] inputs, int[] targets) = Model();
        return new LossSurface(model, inputs, targets, threads);
    }

    private static (Gpt Model, int[] Inputs, int[] Targets) Model()
    {
        var model = new Gpt(_small, Windows, seed: 1);
        var random = new DeterministicRandom(2);
        foreach (GptParameter parameter in model.Parameters)
        {
            foreach (ref float value in parameter.Value.AsSpan())
            {
                value += (float)(0.3 * random.NextNormal());
            }
        }

        int[] tokens = [.. Enumerable.Range(0, 2 * Windows * _small.ContextLength).Select(_ => random.NextInt32(_small.VocabularySize))];
        return (model, tokens[..(tokens.Length / 2)], tokens[(tokens.Length / 2)..]);
    }
}
