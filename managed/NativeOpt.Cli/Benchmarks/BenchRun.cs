using System.Globalization;
using NativeOpt.Cli.Shapes;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>Measures rows, one after the other.</summary>
internal static class BenchRun
{
    // Enough for every path of the code; nothing for memory.
    private static readonly ModelShape _small = ModelShape.TryParse("3x1000")!;

    /// <summary>Measures a row. On the CPU the number of threads of the process is the row's meanwhile.</summary>
    /// <param name="row">The row.</param>
    /// <param name="settings">How long.</param>
    /// <param name="progress">Told what part of it is over.</param>
    /// <param name="stop">Ends it with what there is.</param>
    /// <returns>The result; null if it was ended before the first round was over.</returns>
    /// <exception cref="BenchFault">A peer does not make the same step.</exception>
    public static BenchResult? Measure(
        BenchCase row, BenchSettings settings, Action<double> progress, CancellationToken stop)
    {
        int threads = NativeRuntime.CpuThreads;
        try
        {
            NativeRuntime.CpuThreads = row.Threads;
            using (var small = new BenchContenders(row with { Shape = _small }))
            {
                small.Warm(stop);
            }

            using var contenders = new BenchContenders(row);
            contenders.Check();
            contenders.ChooseFloorForm();
            IReadOnlyList<IReadOnlyList<double>> seconds = BenchRounds.Run(contenders.All, settings, progress, stop);
            int rounds = seconds[0].Count;
            return rounds == 0
                ? null
                : BenchResult.Of(row, Isa(row.Device), contenders.FloorForm, rounds,
                    [.. contenders.All.Zip(seconds, static (one, own) => (one.Name, Timing.Of(own)))]);
        }
        finally
        {
            NativeRuntime.CpuThreads = threads;
        }
    }

    private static string Isa(Device device) => device.GetInfo().ComputeCapability is { } capability
        ? string.Create(CultureInfo.InvariantCulture, $"sm_{capability.Major}{capability.Minor}")
        : NativeRuntime.CpuInstructionSet;
}
