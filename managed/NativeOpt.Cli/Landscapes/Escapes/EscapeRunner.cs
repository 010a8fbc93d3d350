using System.Collections.Concurrent;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>Simulates all wells of a plan.</summary>
internal static class EscapeRunner
{
    /// <summary>The times of each well, in the order of the plan; they do not depend on the number of threads.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="finished">What an earlier command has done, and where these wells are kept; null: nowhere.</param>
    /// <param name="afterEach">Called after each well, from any thread.</param>
    /// <param name="stop">Ends it.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public static IReadOnlyList<EscapeTime[]> Run(
        EscapePlan plan, FinishedRuns<FinishedWell>? finished, Action afterEach, CancellationToken stop)
    {
        IReadOnlyList<EscapeCell> cells = plan.Cells;
        EscapeTime[][] times = new EscapeTime[cells.Count][];

        // Those with the highest barriers take longest, and so they come first; they are handed out one by one.
        int[] order =
            [.. Enumerable.Range(0, cells.Count).OrderByDescending(i => cells[i].Barrier).ThenBy(i => cells[i].Curvature)];
        var options = new ParallelOptions { MaxDegreeOfParallelism = plan.Threads, CancellationToken = stop };
        Parallel.ForEach(Partitioner.Create(order, EnumerablePartitionerOptions.NoBuffering), options, i =>
        {
            string name = FormattableString.Invariant(
                $"{cells[i].Rule.Name}, curvature {cells[i].Curvature}, barrier {cells[i].Barrier}");
            FinishedWell? well = finished?.Find(name);
            if (well is null)
            {
                well = new FinishedWell(new EscapeWell(cells[i], plan.Starts, plan.Seed, i).Run(stop));
                finished?.Add(name, well);
            }

            times[i] = well.Times;
            afterEach();
        });
        return times;
    }
}

/// <summary>What is kept of a well for <c>--resume</c>.</summary>
/// <param name="Times">The time of each start.</param>
internal sealed record FinishedWell(EscapeTime[] Times);
