using NativeOpt.Cli.Hessians;
using NativeOpt.Cli.Tests.Training;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Hessians;

/// <summary>The Hessian's products against second differences of the reference loss in double precision.</summary>
public sealed class DualGptTests
{
    private const double Step = 1e-4;

    // The shapes are no multiples of vectors, so that the remainders of every loop take part.
    public static TheoryData<int, int, int, int, int, int, int> Shapes => new()
    {
        // vocabulary, context, layers, heads, width, batch, time
        { 11, 7, 2, 2, 12, 3, 7 },
        { 37, 9, 1, 3, 21, 2, 5 },
        { 5, 3, 1, 1, 4, 1, 1 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    internal void GradientIsThatOfTheModel(
        int vocabulary, int context, int layers, int heads, int width, int batch, int time)
    {
        (Gpt model, int[] inputs, int[] targets) = GptModels.FarFromInitialisation(vocabulary, context, layers, heads, width, batch, time);
        var dual = new DualGpt(model, batch);
        model.ForwardBackward(inputs, targets, batch);
        dual.ForwardBackward(inputs, targets, batch);
        for (int i = 0; i < model.Parameters.Count; i++)
        {
            GptParameter parameter = model.Parameters[i];
            Assert.Equal(parameter.Name, dual.Parameters[i].Name);
            double typical = Math.Sqrt(parameter.Gradient.Average(static g => (double)g * g));
            for (int j = 0; j < parameter.Gradient.Length; j++)
            {
                Assert.Equal(parameter.Gradient[j], dual.Parameters[i].Gradient.Value[j], (1e-4 * typical) + 1e-7);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    internal void ProductsAreSecondDifferencesOfTheReferenceLoss(
        int vocabulary, int context, int layers, int heads, int width, int batch, int time)
    {
        (Gpt model, int[] inputs, int[] targets) = GptModels.FarFromInitialisation(vocabulary, context, layers, heads, width, batch, time);
        var dual = new DualGpt(model, batch);
        var reference = new ReferenceGpt(model);
        var random = new DeterministicRandom(7);
        float[][] direction = Random();
        for (int i = 0; i < direction.Length; i++)
        {
            direction[i].CopyTo(dual.Parameters[i].Data.Tangent, 0);
        }

        dual.ForwardBackward(inputs, targets, batch);

        // One tensor at a time, so that no small one hides behind the others; of each along one random direction.
        float[][] others = Random();
        double largest = 0;
        for (int tensor = 0; tensor < others.Length; tensor++)
        {
            double actual = others[tensor].Zip(dual.Parameters[tensor].Gradient.Tangent, static (x, y) => (double)x * y).Sum();
            double expected = (Shifted(tensor, 1, 1) - Shifted(tensor, 1, -1) - Shifted(tensor, -1, 1) + Shifted(tensor, -1, -1))
                / (4 * Step * Step);
            largest = Math.Max(largest, Math.Abs(expected));
            Assert.True(
                Math.Abs(expected - actual) <= (1e-3 * Math.Abs(expected)) + (1e-4 * largest) + 1e-6,
                $"{dual.Parameters[tensor].Name}: {actual}, reference {expected}");
        }

        // The loss with all parameters moved along the direction, and one tensor along the other.
        double Shifted(int tensor, int along, int across)
        {
            for (int i = 0; i < direction.Length; i++)
            {
                double[] values = reference[model.Parameters[i].Name];
                for (int j = 0; j < values.Length; j++)
                {
                    values[j] = model.Parameters[i].Value[j] + (along * Step * direction[i][j])
                        + (i == tensor ? across * Step * others[i][j] : 0);
                }
            }

            return reference.Loss(inputs, targets, batch);
        }

        float[][] Random() =>
        [
            .. model.Parameters.Select(parameter =>
                (float[])[.. Enumerable.Range(0, parameter.Value.Length).Select(_ => (float)random.NextNormal())]),
        ];
    }
}
