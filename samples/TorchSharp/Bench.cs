using System.Diagnostics;
using NativeOpt;
using NativeOpt.TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace TorchSharpSample;

/// <summary>
/// Times optimizer steps of TorchSharp and NativeOpt in turn, on gradients that are there already. A step includes collecting the
/// gradients' addresses.
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

    private delegate optim.Optimizer Make(Parameter[] parameters);

    public static void Run(int rounds)
    {
        NativeRuntime.CpuThreads = get_num_threads();
        Console.WriteLine($"{get_num_threads()} threads, medians of {rounds} interleaved rounds in ms");
        Console.WriteLine($"{"",-16}{"",-9}{"TorchSharp",12}{"NativeOpt",12}{"times",9}");
        foreach ((string model, long[][] shapes) in _models)
        {
            foreach ((string name, Make torchs, Make ours) in _optimizers)
            {
                Parameter[] first = MakeParameters(shapes), second = MakeParameters(shapes);
                using (optim.Optimizer a = torchs(first), b = ours(second))
                {
                    (double theirs, double own) = Time(a, b, rounds);
                    Console.WriteLine(FormattableString.Invariant(
                        $"{model,-16}{name,-9}{theirs,12:F3}{own,12:F3}{theirs / own,9:F1}"));
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

    private static (double Theirs, double Own) Time(optim.Optimizer theirs, optim.Optimizer own, int rounds)
    {
        const int WarmUp = 3;
        List<double> a = [], b = [];
        for (int round = -WarmUp; round < rounds; round++)
        {
            (double first, double second) = (Milliseconds(theirs), Milliseconds(own));
            if (round >= 0)
            {
                a.Add(first);
                b.Add(second);
            }
        }

        return (Median(a), Median(b));

        static double Milliseconds(optim.Optimizer optimizer)
        {
            long start = Stopwatch.GetTimestamp();
            optimizer.step();
            return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
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
}
