using System.Runtime.InteropServices;

namespace NativeOpt.Tests.Support;

/// <summary>Plain arrays with reproducible contents, registered as a set.</summary>
internal sealed class Model : IDisposable
{
    /// <summary>Empty tensors first, in the middle and last; tails of every vector width; more than one block of work.</summary>
    public static readonly int[] AwkwardSizes = [0, 1, 3, 5, 0, 55, 4097, 16385, 7, 33_000, 0];

    public Model(params int[] sizes)
        : this(sizes, null)
    {
    }

    public Model(int[] sizes, TensorOptions[]? options)
    {
        Parameters = [.. sizes.Select((size, tensor) => Values(size, seed: 1000 + tensor))];
        Gradients = [.. sizes.Select(size => new float[size])];
        SetGradients(1);
        Set = ParameterSet.FromArrays(Parameters, Gradients, options);
    }

    public float[][] Parameters { get; }

    public float[][] Gradients { get; }

    public ParameterSet Set { get; }

    /// <summary>Numbers of either sign between 0.25 and 1, from a generator of 64-bit steps.</summary>
    public static float[] Values(int size, int seed, double scale = 1)
    {
        ulong state = (ulong)seed;
        float[] values = new float[size];
        for (int i = 0; i < size; i++)
        {
            // SplitMix64.
            state += 0x9E3779B97F4A7C15;
            ulong z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            z ^= z >> 31;
            double magnitude = 0.25 + (0.75 * (z >> 40) / (1 << 24));
            values[i] = (float)(scale * ((z & 1) == 0 ? magnitude : -magnitude));
        }

        return values;
    }

    /// <summary>Writes the gradients of a step: smaller from step to step, so that running maxima and averages differ.</summary>
    public void SetGradients(int step)
    {
        for (int tensor = 0; tensor < Gradients.Length; tensor++)
        {
            Values(Gradients[tensor].Length, (7919 * step) + tensor, 2.0 / step).CopyTo(Gradients[tensor], 0);
        }
    }

    /// <summary>Takes steps number <paramref name="first"/> to <paramref name="last"/>.</summary>
    public void Step(Optimizer optimizer, int first, int last)
    {
        for (int step = first; step <= last; step++)
        {
            SetGradients(step);
            optimizer.Step();
        }
    }

    public byte[] ParameterBytes() => [.. Parameters.SelectMany(values => MemoryMarshal.AsBytes(values.AsSpan()).ToArray())];

    public void Dispose() => Set.Dispose();
}
