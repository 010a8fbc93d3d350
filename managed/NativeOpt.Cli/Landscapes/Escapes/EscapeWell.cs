using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>The time after which a start has left its well, in steps.</summary>
/// <param name="Steps">The steps taken, until it left or was watched no more.</param>
/// <param name="HasLeft">Whether it left.</param>
internal readonly record struct EscapeTime(int Steps, bool HasLeft);

/// <summary>
/// Many starts at the minimum of the well L(x) = ΔL/2·(1 − cos kx) with k = √(2H/ΔL), whose curvature is H at the minimum and −H at the
/// tops of both barriers, of height ΔL. Each start is an element of one tensor: update rules treat elements alike and apart.
/// </summary>
/// <param name="cell">The well.</param>
/// <param name="starts">The number of starts.</param>
/// <param name="seed">Selects the noise.</param>
/// <param name="stream">A number of its own for each well.</param>
internal sealed class EscapeWell(EscapeCell cell, int starts, ulong seed, int stream)
{
    // kx from where nearly none comes back: half way down behind the top.
    private const float Left = 1.5f * MathF.PI;

    // The last starts take longest; the mean of exponential times is known without them.
    private const double Watched = 0.9;

    private const int MostSteps = 3_000_000;
    private const int StepsBetweenLooksAtStop = 1000;

    private readonly DeterministicRandom _random = new(seed, (ulong)stream);
    private readonly float[] _noise = new float[starts + (starts & 1)];
    private readonly float[] _angle = new float[(starts + 1) / 2];
    private readonly float[] _radius = new float[(starts + 1) / 2];

    /// <summary>Takes steps until nine tenths of the starts have left.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public EscapeTime[] Run(CancellationToken stop)
    {
        float wave = (float)Math.Sqrt(2 * cell.Curvature / cell.Barrier);
        float slope = (float)(cell.Barrier / 2 * wave);
        float noise = (float)cell.Noise;
        float[] x = new float[starts];
        float[] gradient = new float[starts];
        int[] times = new int[starts];
        using ParameterSet set = ParameterSet.FromArrays([x], [gradient]);
        using Optimizer optimizer = cell.Rule.Create(set, cell.LearningRate);
        int left = 0;
        int step = 0;
        while (left < Watched * starts && step < MostSteps)
        {
            if (step % StepsBetweenLooksAtStop == 0)
            {
                stop.ThrowIfCancellationRequested();
            }

            FillNoise();
            TensorPrimitives.Multiply(x, wave, gradient);
            TensorPrimitives.Sin(gradient, gradient);
            TensorPrimitives.Multiply(gradient, slope, gradient);
            TensorPrimitives.MultiplyAdd(_noise.AsSpan(0, starts), noise, gradient, gradient);
            optimizer.Step();
            step++;
            for (int i = 0; i < x.Length; i++)
            {
                if (times[i] == 0 && Math.Abs(x[i]) * wave >= Left)
                {
                    times[i] = step;
                    left++;
                }
            }
        }

        return [.. times.Select(time => new EscapeTime(time == 0 ? step : time, time != 0))];
    }

    // Box and Muller, two numbers from each pair.
    private void FillNoise()
    {
        int pairs = _angle.Length;
        for (int i = 0; i < pairs; i++)
        {
            ulong bits = _random.NextUInt64();
            _radius[i] = ((uint)(bits >> 32) + 1f) * (1f / 4294967808f); // above 0, up to 1
            _angle[i] = (uint)bits * (2 * MathF.PI / 4294967296f);
        }

        TensorPrimitives.Log(_radius, _radius);
        TensorPrimitives.Multiply(_radius, -2, _radius);
        TensorPrimitives.Sqrt(_radius, _radius);
        TensorPrimitives.Sin(_angle, _noise.AsSpan(0, pairs));
        TensorPrimitives.Cos(_angle, _noise.AsSpan(pairs, pairs));
        TensorPrimitives.Multiply(_noise.AsSpan(0, pairs), _radius, _noise.AsSpan(0, pairs));
        TensorPrimitives.Multiply(_noise.AsSpan(pairs, pairs), _radius, _noise.AsSpan(pairs, pairs));
    }
}
