using System.Globalization;
using NativeOpt.Cli.Shapes;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>Measures a row; see <see cref="BenchRun.Measure"/>.</summary>
internal delegate BenchResult? MeasureRow(BenchCase row, Action<double> progress, CancellationToken stop);

/// <summary>Measures rows, one after the other.</summary>
/// <param name="settings">How long each.</param>
internal sealed class BenchRun(BenchSettings settings)
{
    // Enough for every path of the code; nothing for memory.
    private static readonly ModelShape _small = ModelShape.TryParse("3x1000")!;

    // A row of the same rule over other tensors is compiled already.
    private readonly HashSet<BenchCase> _warm = [];

    /// <summary>Measures a row. On the CPU the number of threads of the process is the row's meanwhile.</summary>
    /// <param name="row">The row.</param>
    /// <param name="progress">Told what part of it is over.</param>
    /// <param name="stop">Ends it with what there is.</param>
    /// <returns>The result; null if it was ended before the first round was over.</returns>
    /// <exception cref="BenchFault">A peer does not make the same step.</exception>
    public BenchResult? Measure(BenchCase row, Action<double> progress, CancellationToken stop)
    {
        int threads = NativeRuntime.CpuThreads;
        try
        {
            NativeRuntime.CpuThreads = row.Threads;
            Warm(row with { Shape = _small }, stop);
            if (stop.IsCancellationRequested)
            {
                return null;
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

    private void Warm(BenchCase row, CancellationToken stop)
    {
        if (_warm.Add(row))
        {
            using var contenders = new BenchContenders(row);
            contenders.Warm(stop);
        }
    }

    private static string Isa(Device device) => device.GetInfo().ComputeCapability is { } capability
        ? string.Create(CultureInfo.InvariantCulture, $"sm_{capability.Major}{capability.Minor}")
        : NativeRuntime.CpuInstructionSet;
}
