using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>Computes what <see cref="HessianPlan"/> says around a solution.</summary>
/// <param name="plan">What to compute.</param>
/// <param name="afterEach">Called after each product and each loss.</param>
/// <param name="stop">Ends it.</param>
internal sealed class HessianRunner(HessianPlan plan, Action afterEach, CancellationToken stop)
{
    // Streams of random numbers of one seed that nothing else uses.
    private const int LanczosStream = 1 << 20, ProbeStream = 2 << 20, DirectionStream = 3 << 20;

    // Between the solution and the points of gradient differences, along a direction of length 1. Shorter ones lose more to the
    // rounding of float32, longer ones to the third derivative.
    private const double DifferenceDistance = 3e-3;

    /// <summary>Computes it.</summary>
    /// <param name="name">What the solution is called.</param>
    /// <param name="saved">The solution.</param>
    /// <param name="data">The text.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public HessianResult Run(string name, SavedGpt saved, TextDataset data)
    {
        int[] inputs = new int[plan.Windows * data.ContextLength];
        int[] targets = new int[inputs.Length];
        data.FillTrainingBatch(plan.Seed, step: 0, inputs, targets);
        var surface = new LossSurface(saved.ToModel(LossSurface.PartWindows), inputs, targets, plan.Threads);

        double[] start = FlatnessLine.RandomUnit(surface.Dimension, plan.Seed, LanczosStream);
        var extremes = new Lanczos(surface, start, plan.LanczosSteps, afterEach, stop);
        double[] top = extremes.Vector(extremes.Pairs.Count - 1);
        double[] product = new double[surface.Dimension];
        ProductCheck[] checks = [Check(surface, "a random vector", start, product), Check(surface, "the top eigenvector", top, product)];
        TensorPrimitives.MultiplyAdd(top, -extremes.Pairs[^1].Value, product, product);
        double rounding = TensorPrimitives.Norm<double>(product);
        IReadOnlyList<RitzPair>[] probes =
        [
            .. Enumerable.Range(0, plan.Probes).Select(probe =>
                new Lanczos(surface, Signs(surface.Dimension, probe), plan.DensitySteps, afterEach, stop).Pairs),
        ];
        IReadOnlyList<double>[] lines =
            [.. Enumerable.Range(0, plan.Directions).Select(direction => Line(surface, direction))];
        return new HessianResult(
            name,
            surface.Dimension,
            surface.Loss([], 0),
            surface.GradientNorm(),
            [.. extremes.Pairs.Select(pair => pair with { Residual = Math.Max(pair.Residual, rounding) })],
            new SpectralDensity(probes, surface.Dimension),
            lines,
            checks);
    }

    /// <summary>Leaves the exact product.</summary>
    private static ProductCheck Check(LossSurface surface, string what, double[] vector, double[] exact)
    {
        double[] difference = new double[vector.Length];
        surface.Multiply(vector, exact);
        surface.MultiplyByDifferences(vector, difference, DifferenceDistance);
        return new ProductCheck(
            what, TensorPrimitives.Distance<double>(exact, difference) / TensorPrimitives.Norm<double>(exact));
    }

    private List<double> Line(LossSurface surface, int number)
    {
        double[] direction = plan.FilterNormalisation
            ? FlatnessLine.FilterNormalised(surface, plan.Seed, DirectionStream + number)
            : FlatnessLine.RandomUnit(surface.Dimension, plan.Seed, DirectionStream + number);
        List<double> losses = [];
        foreach (double distance in plan.Distances)
        {
            stop.ThrowIfCancellationRequested();
            losses.Add(surface.Loss(direction, distance));
            afterEach();
        }

        return losses;
    }

    private double[] Signs(int dimension, int probe)
    {
        var random = new DeterministicRandom(plan.Seed, (ulong)(ProbeStream + probe));
        return [.. Enumerable.Range(0, dimension).Select(_ => random.NextInt32(2) == 0 ? -1.0 : 1)];
    }
}
