using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>The loss and its gradient against a reference in double precision and against finite differences.</summary>
public sealed class GptGradientTests
{
    // The shapes are no multiples of vectors or tiles, so that the remainders of every loop take part.
    public static TheoryData<int, int, int, int, int, int, int> Shapes => new()
    {
        // vocabulary, context, layers, heads, width, batch, time
        { 11, 7, 2, 2, 12, 3, 7 },
        { 37, 9, 1, 3, 21, 2, 5 },
        { 16, 40, 1, 2, 16, 1, 40 },
        { 5, 1, 1, 1, 4, 1, 1 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    internal void LossAgreesWithReference(
        int vocabulary, int context, int layers, int heads, int width, int batch, int time)
    {
        (Gpt model, int[] inputs, int[] targets) = GptModels.FarFromInitialisation(vocabulary, context, layers, heads, width, batch, time);
        double expected = new ReferenceGpt(model).Loss(inputs, targets, batch);
        Assert.Equal(expected, model.Forward(inputs, targets, batch), 1e-5 * Math.Max(1, expected));
        Assert.Equal(expected, model.ForwardBackward(inputs, targets, batch), 1e-5 * Math.Max(1, expected));
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    internal void GradientOfEveryTensorAgreesWithReference(
        int vocabulary, int context, int layers, int heads, int width, int batch, int time)
    {
        (Gpt model, int[] inputs, int[] targets) = GptModels.FarFromInitialisation(vocabulary, context, layers, heads, width, batch, time);
        model.ForwardBackward(inputs, targets, batch);
        var reference = new ReferenceGpt(model);
        var random = new DeterministicRandom(5);
        foreach (GptParameter parameter in model.Parameters)
        {
            double[] values = reference[parameter.Name];
            double typical = Math.Sqrt(parameter.Gradient.Average(static g => (double)g * g));
            for (int trial = 0; trial < 20; trial++)
            {
                int i = random.NextInt32(values.Length);
                double expected = Slope(values, element => element == i ? 1 : 0);
                double tolerance = 1e-3 * Math.Max(Math.Abs(expected), 0.1 * typical) + 1e-7;
                Assert.True(
                    Math.Abs(expected - parameter.Gradient[i]) <= tolerance,
                    $"{parameter.Name}[{i}]: {parameter.Gradient[i]}, reference {expected}");
            }

            for (int trial = 0; trial < 3; trial++)
            {
                double[] direction = UnitVector(random, values.Length);
                double expected = Slope(values, element => direction[element]);
                double actual = direction.Select((d, i) => d * parameter.Gradient[i]).Sum();
                double tolerance = 1e-3 * Math.Max(Math.Abs(expected), 0.1 * typical) + 1e-7;
                Assert.True(
                    Math.Abs(expected - actual) <= tolerance,
                    $"{parameter.Name} along a direction: {actual}, reference {expected}");
            }
        }

        // The central difference of the reference loss along a direction.
        double Slope(double[] values, Func<int, double> direction)
        {
            const double Step = 1e-5;
            double[] saved = (double[])values.Clone();
            double Shifted(double step)
            {
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] = saved[i] + (step * direction(i));
                }

                return reference.Loss(inputs, targets, batch);
            }

            double slope = (Shifted(Step) - Shifted(-Step)) / (2 * Step);
            saved.CopyTo(values, 0);
            return slope;
        }
    }

    /// <summary>Needs no second implementation: the model's own loss must change as its gradient says. Along the
    /// gradient, where the signal is strongest, single precision is enough.</summary>
    [Fact]
    public void OwnLossChangesAsGradientSays()
    {
        (Gpt model, int[] inputs, int[] targets) = GptModels.FarFromInitialisation(23, 8, 2, 2, 24, 3, 8);
        var random = new DeterministicRandom(9);
        foreach (GptParameter parameter in model.Parameters)
        {
            for (int trial = 0; trial < 2; trial++)
            {
                model.ForwardBackward(inputs, targets, 3);
                double norm = Math.Sqrt(parameter.Gradient.Sum(static g => (double)g * g));
                double[] noise = UnitVector(random, parameter.Value.Length);
                double[] direction = noise.Select((d, i) => (0.5 * d) + (parameter.Gradient[i] / norm)).ToArray();
                double expected = direction.Select((d, i) => d * parameter.Gradient[i]).Sum();

                double step = 0.01 * Math.Min(1, 1 / norm) * Math.Sqrt(norm);
                float[] saved = (float[])parameter.Value.Clone();
                double Shifted(double length)
                {
                    for (int i = 0; i < saved.Length; i++)
                    {
                        parameter.Value[i] = (float)(saved[i] + (length * direction[i]));
                    }

                    return model.Forward(inputs, targets, 3);
                }

                double actual = (Shifted(step) - Shifted(-step)) / (2 * step);
                saved.CopyTo(parameter.Value, 0);
                Assert.True(
                    Math.Abs(expected - actual) <= 1e-2 * Math.Abs(expected) + 1e-5,
                    $"{parameter.Name}: loss changes by {actual}, gradient says {expected}");
            }
        }
    }

    [Fact]
    public void GradientIsOverwrittenNotAccumulated()
    {
        (Gpt model, int[] inputs, int[] targets) = GptModels.FarFromInitialisation(11, 7, 2, 2, 12, 3, 7);
        model.ForwardBackward(inputs, targets, 3);
        float[][] first = [.. model.Parameters.Select(static p => (float[])p.Gradient.Clone())];
        foreach (GptParameter parameter in model.Parameters)
        {
            Array.Fill(parameter.Gradient, float.NaN);
        }

        model.ForwardBackward(inputs, targets, 3);
        Assert.Equal(first, model.Parameters.Select(static p => p.Gradient));
    }

    private static double[] UnitVector(DeterministicRandom random, int length)
    {
        double[] x = [.. Enumerable.Range(0, length).Select(_ => random.NextNormal())];
        double norm = Math.Sqrt(x.Sum(static value => value * value));
        return Array.ConvertAll(x, value => value / norm);
    }
}
