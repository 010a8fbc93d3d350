using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>Random directions from a solution, along which its loss is looked at.</summary>
internal static class FlatnessLine
{
    /// <summary>A direction of length 1.</summary>
    public static double[] RandomUnit(int dimension, ulong seed, int number)
    {
        double[] direction = RandomNormal(dimension, seed, number);
        TensorPrimitives.Divide(direction, TensorPrimitives.Norm<double>(direction), direction);
        return direction;
    }

    /// <summary>
    /// A direction whose rows of weights are each as long as those of the solution (filter normalisation, Li et al. 2018); biases
    /// and gains do not change.
    /// </summary>
    public static double[] FilterNormalised(LossSurface surface, ulong seed, int number)
    {
        double[] direction = RandomNormal(surface.Dimension, seed, number);
        int at = 0;
        foreach (GptParameter tensor in surface.Tensors)
        {
            int row = tensor.IsMatrix ? tensor.Shape[^1] : tensor.Value.Length;
            for (int end = at + tensor.Value.Length; at < end; at += row)
            {
                Span<double> filter = direction.AsSpan(at, row);
                double length = tensor.IsMatrix ? TensorPrimitives.Norm(surface.Solution.Slice(at, row)) : 0;
                TensorPrimitives.Multiply(filter, length / TensorPrimitives.Norm<double>(filter), filter);
            }
        }

        return direction;
    }

    private static double[] RandomNormal(int dimension, ulong seed, int number)
    {
        var random = new DeterministicRandom(seed, (ulong)number);
        return [.. Enumerable.Range(0, dimension).Select(_ => random.NextNormal())];
    }
}
