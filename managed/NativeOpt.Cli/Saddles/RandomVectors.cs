using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Saddles;

/// <summary>Unit vectors with random directions.</summary>
internal static class RandomVectors
{
    public static double[] Unit(DeterministicRandom random, int length)
    {
        double[] vector = [.. Enumerable.Range(0, length).Select(_ => random.NextNormal())];
        Normalize(vector);
        return vector;
    }

    public static void Normalize(double[] vector)
    {
        double norm = Math.Sqrt(Dense.Dot(vector, vector));
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] /= norm;
        }
    }
}
