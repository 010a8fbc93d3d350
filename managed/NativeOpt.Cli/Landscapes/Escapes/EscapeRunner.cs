using System.Collections.Concurrent;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>Simulates all wells of a plan.</summary>
internal static class EscapeRunner
{
    /// <summary>The times of each well, in the order of the plan; they do not depend on the number of threads.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="afterEach">Called after each well, from any thread.</param>
    /// <param name="stop">Ends it.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public static IReadOnlyList<EscapeTime[]> Run(EscapePlan plan, Action afterEach, CancellationToken stop)
    {
        IReadOnlyList<EscapeCell> cells = plan.Cells;
        EscapeTime[][] times = new EscapeTime[cells.Count][];

        // Those with the highest barriers take longest, and so they come first; they are handed out one by one.
        int[] order =
            [.. Enumerable.Range(0, cells.Count).OrderByDescending(i => cells[i].Barrier).ThenBy(i => cells[i].Curvature)];
        var options = new ParallelOptions { MaxDegreeOfParallelism = plan.Threads, CancellationToken = stop };
        Parallel.ForEach(Partitioner.Create(order, EnumerablePartitionerOptions.NoBuffering), options, i =>
        {
            times[i] = new EscapeWell(cells[i], plan.Starts, plan.Seed, i).Run(stop);
            afterEach();
        });
        return times;
    }
}
