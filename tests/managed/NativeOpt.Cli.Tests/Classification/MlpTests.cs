using NativeOpt.Cli.Classification;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Classification;

/// <summary>The perceptron's loss and gradients against a reference in double precision.</summary>
public sealed class MlpTests
{
    // No multiples of vectors or tiles, so that the remainders of every loop take part.
    public static TheoryData<int, int[], int, int> Shapes => new()
    {
        // inputs, hidden, classes, rows
        { 13, [11, 7], 5, 9 },
        { 40, [33], 10, 6 },
        { 3, [], 2, 1 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Gradients_agree_with_differences_of_a_reference_in_double(int inputs, int[] hidden, int classes, int rows)
    {
        Mlp model = Filled(inputs, hidden, classes, rows);
        double[][] values = [.. model.Parameters.Select(static own => Array.ConvertAll(own.Value, static value => (double)value))];
        double expected = Loss(model, values, rows, out int correct);
        Assert.Equal(expected, model.ForwardBackward(rows), 1e-5 * Math.Max(1, expected));
        foreach ((GptParameter parameter, double[] own) in model.Parameters.Zip(values))
        {
            for (int i = 0; i < own.Length; i++)
            {
                const double step = 1e-5;
                double saved = own[i];
                own[i] = saved + step;
                double above = Loss(model, values, rows, out _);
                own[i] = saved - step;
                double slope = (above - Loss(model, values, rows, out _)) / (2 * step);
                own[i] = saved;
                Assert.Equal(slope, parameter.Gradient[i], 1e-5 + (1e-4 * Math.Abs(slope)));
            }
        }

        (double sum, int found) = model.Forward(rows);
        Assert.Equal(rows * expected, sum, 1e-4 * Math.Max(1, sum));
        Assert.Equal(correct, found);
    }

    [Fact]
    public void Seeds_select_the_weights()
    {
        Assert.Equal(Weights(1), Weights(1));
        Assert.NotEqual(Weights(1), Weights(2));

        static float[] Weights(ulong seed) =>
            [.. new Mlp(5, [4], 3, rows: 1, seed).Parameters.SelectMany(static own => own.Value)];
    }

    private static Mlp Filled(int inputs, int[] hidden, int classes, int rows)
    {
        var model = new Mlp(inputs, hidden, classes, rows + 3, seed: 1);
        var random = new DeterministicRandom(2);
        foreach (GptParameter parameter in model.Parameters.Where(static own => !own.IsMatrix))
        {
            Fill(parameter.Value);
        }

        Fill(model.Inputs);
        for (int row = 0; row < rows; row++)
        {
            model.Labels[row] = random.NextInt32(classes);
        }

        return model;

        void Fill(float[] numbers)
        {
            foreach (ref float number in numbers.AsSpan())
            {
                number = (float)random.NextNormal();
            }
        }
    }

    private static double Loss(Mlp model, double[][] values, int rows, out int correct)
    {
        double loss = 0;
        correct = 0;
        int inputs = model.Parameters[0].Shape[1];
        for (int row = 0; row < rows; row++)
        {
            double[] x = Array.ConvertAll(model.Inputs[(row * inputs)..((row + 1) * inputs)], static value => (double)value);
            for (int layer = 0; 2 * layer < values.Length; layer++)
            {
                double[] below = layer == 0 ? x : Array.ConvertAll(x, Gelu);
                (double[] weight, double[] bias) = (values[2 * layer], values[(2 * layer) + 1]);
                x = [.. bias.Select((own, output) => own + below.Select((one, i) => one * weight[(output * below.Length) + i]).Sum())];
            }

            int label = model.Labels[row];
            loss += Math.Log(x.Sum(Math.Exp)) - x[label];
            correct += x[label] >= x.Max() ? 1 : 0;
        }

        return loss / rows;
    }

    private static double Gelu(double x) => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))));
}
