using System.Diagnostics;
using NativeOpt;
using NativeOpt.TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace TorchSharpSample;

/// <summary>
/// Times optimizer steps of TorchSharp and NativeOpt, on gradients that are there already. A step includes collecting the gradients'
/// addresses. The two take turns of several steps; the first step of a turn counts apart, since it finds caches that the other one
/// has filled, as an optimizer does after a backward pass.
/// </summary>
internal static class Bench
{
    private static readonly (string Name, long[][] Shapes)[] _models =
    [
        ("1 x 16,777,216", [[16_777_216]]),
        ("GPT-2 124M", Gpt2()),
        ("200 x 10,000", [.. Enumerable.Repeat<long[]>([100, 100], 200)]),
        ("1000 x 100", [.. Enumerable.Repeat<long[]>([10, 10], 1000)]),
    ];

    private static readonly (string Name, Make Torchs, Make Ours)[] _optimizers =
    [
        ("Adam", static p => optim.Adam(p), static p => nativeopt.optim.Adam(p)),
        ("AdamW", static p => optim.AdamW(p, weight_decay: 0.01), static p => nativeopt.optim.AdamW(p, weight_decay: 0.01)),
        ("SGD 0.9", static p => optim.SGD(p, 1e-3, 0.9), static p => nativeopt.optim.SGD(p, 1e-3, 0.9)),
    ];

    // A turn takes at least this long, so that its steps find their caches as a step leaves them.
    private static readonly TimeSpan _turn = TimeSpan.FromMilliseconds(20);

    private delegate optim.Optimizer Make(Parameter[] parameters);

    public static void Run(int rounds)
    {
        NativeRuntime.CpuThreads = get_num_threads();
        Console.WriteLine($"{get_num_threads()} threads, medians of {rounds} turns each in ms: steps, and the first of a turn");
        Console.WriteLine(
            $"{"",-16}{"",-9}{"TorchSharp",12}{"NativeOpt",12}{"times",9}{"TorchSharp",14}{"NativeOpt",12}{"times",9}");
        foreach ((string model, long[][] shapes) in _models)
        {
            foreach ((string name, Make torchs, Make ours) in _optimizers)
            {
                Parameter[] first = MakeParameters(shapes), second = MakeParameters(shapes);
                using (optim.Optimizer a = torchs(first), b = ours(second))
                {
                    (Turn theirs, Turn own) = Time(a, b, rounds);
                    Console.WriteLine(
                        FormattableString.Invariant($"{model,-16}{name,-9}")
                        + FormattableString.Invariant($"{theirs.Step,12:F3}{own.Step,12:F3}{theirs.Step / own.Step,9:F1}")
                        + FormattableString.Invariant($"{theirs.First,14:F3}{own.First,12:F3}{theirs.First / own.First,9:F1}"));
                }

                Array.ForEach(first, static parameter => parameter.Dispose());
                Array.ForEach(second, static parameter => parameter.Dispose());
            }
        }
    }

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static (Turn Theirs, Turn Own) Time(optim.Optimizer theirs, optim.Optimizer own, int rounds)
    {
        List<Turn> a = [], b = [];
        for (int round = -1; round < rounds; round++)
        {
            (Turn first, Turn second) = (Take(theirs), Take(own));
            if (round >= 0)
            {
                a.Add(first);
                b.Add(second);
            }
        }

        return (MedianOf(a), MedianOf(b));

        static Turn MedianOf(List<Turn> turns) =>
            new(Median(turns.Select(static turn => turn.First)), Median(turns.Select(static turn => turn.Step)));
    }

    private static Turn Take(optim.Optimizer optimizer)
    {
        long start = Stopwatch.GetTimestamp();
        optimizer.step();
        double first = Stopwatch.GetElapsedTime(start).TotalMilliseconds;

        start = Stopwatch.GetTimestamp();
        int steps = 0;
        do
        {
            optimizer.step();
            steps++;
        }
        while (Stopwatch.GetElapsedTime(start) < _turn);

        return new Turn(first, Stopwatch.GetElapsedTime(start).TotalMilliseconds / steps);
    }

    private static Parameter[] MakeParameters(long[][] shapes)
    {
        random.manual_seed(1);
        Parameter[] parameters = [.. shapes.Select(static shape => nn.Parameter(randn(shape)))];
        foreach (Parameter parameter in parameters)
        {
            parameter.grad = randn(parameter.shape);
        }

        return parameters;
    }

    private static long[][] Gpt2()
    {
        const int Width = 768;
        List<long[]> shapes = [[50257, Width], [1024, Width]];
        for (int layer = 0; layer < 12; layer++)
        {
            shapes.AddRange([[Width], [Width], [3 * Width, Width], [3 * Width], [Width, Width], [Width]]);
            shapes.AddRange([[Width], [Width], [4 * Width, Width], [4 * Width], [Width, 4 * Width], [Width]]);
        }

        shapes.AddRange([[Width], [Width]]);
        return [.. shapes];
    }

    /// <summary>What a turn took, in milliseconds.</summary>
    /// <param name="First">Its first step.</param>
    /// <param name="Step">The mean of the others.</param>
    private readonly record struct Turn(double First, double Step);
}
