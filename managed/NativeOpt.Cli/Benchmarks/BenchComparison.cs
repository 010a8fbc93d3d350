using System.Text.Json;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>What became of a row.</summary>
internal enum BenchVerdict
{
    /// <summary>The medians differ by no more than the larger of the two spreads.</summary>
    Same,

    /// <summary>The new one takes less time, by more than that.</summary>
    Faster,

    /// <summary>It takes more.</summary>
    Slower,

    /// <summary>There were too few rounds for a spread.</summary>
    Unsure,

    /// <summary>Only the old file has the row.</summary>
    OnlyOld,

    /// <summary>Only the new one has.</summary>
    OnlyNew,
}

/// <summary>A row of two results files.</summary>
/// <param name="Old">What it was; null: nothing.</param>
/// <param name="New">What it is; null: nothing.</param>
internal sealed record BenchChange(BenchResult? Old, BenchResult? New)
{
    // With fewer the distance between the quartiles says nothing.
    private const int FewestRounds = 3;

    /// <summary>Either.</summary>
    public BenchResult Row => New ?? Old!;

    public BenchVerdict Verdict
    {
        get
        {
            if (Old is null || New is null)
            {
                return Old is null ? BenchVerdict.OnlyNew : BenchVerdict.OnlyOld;
            }

            double change = New.Seconds - Old.Seconds;
            return Math.Min(Old.Rounds, New.Rounds) < FewestRounds ? BenchVerdict.Unsure
                : Math.Abs(change) <= Math.Max(Old.Spread, New.Spread) ? BenchVerdict.Same
                : change < 0 ? BenchVerdict.Faster
                : BenchVerdict.Slower;
        }
    }
}

/// <summary>Two results files, row by row.</summary>
internal static class BenchComparison
{
    /// <summary>Reads a results file.</summary>
    /// <exception cref="UsageException">There is none, or it is something else.</exception>
    public static IReadOnlyList<BenchResult> Read(string path)
    {
        BenchResult[]? rows;
        try
        {
            using FileStream file = File.OpenRead(path);
            rows = JsonSerializer.Deserialize<BenchResult[]>(file, Terminal.JsonOptions);
        }
        catch (JsonException error)
        {
            throw NotResults(path, error.Message);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"--compare {path}: {error.Message}");
        }

        if (rows is null || Array.IndexOf(rows, null) >= 0)
        {
            throw NotResults(path, "A row is null.");
        }

        BenchResult? twice = rows.GroupBy(static row => Key(row)).FirstOrDefault(static group => group.Count() > 1)?.First();
        return twice is null
            ? rows
            : throw NotResults(path, $"{twice.Rule} on {twice.Shape} is there twice.");
    }

    /// <summary>Puts the rows of what was measured alike beside each other; those of the old file first.</summary>
    public static IReadOnlyList<BenchChange> Compare(IReadOnlyList<BenchResult> before, IReadOnlyList<BenchResult> after)
    {
        var byKey = after.ToDictionary(Key);
        return
        [
            .. before.Select(old => new BenchChange(old, byKey.GetValueOrDefault(Key(old)))),
            .. after.ExceptBy(before.Select(Key), Key).Select(static row => new BenchChange(null, row)),
        ];
    }

    /// <summary>What was asked for: the instruction set is not, so that builds and processors can be compared.</summary>
    private static (string, string, int?, string, string, string, string, string) Key(BenchResult row) =>
        (row.Rule, row.Backend, row.Threads, row.Shape, row.Dtype, row.StateDtype, row.Master, row.Rounding);

    private static UsageException NotResults(string path, string why) =>
        new($"--compare {path}: this is no results file of nativeopt bench --json. {why}");
}
