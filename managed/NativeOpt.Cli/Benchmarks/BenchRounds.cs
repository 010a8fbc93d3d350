using System.Diagnostics;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>How long a row is measured.</summary>
/// <param name="Rounds">The rounds, at most.</param>
/// <param name="Limit">The seconds after which no other round begins.</param>
internal sealed record BenchSettings(int Rounds = BenchSettings.DefaultRounds, double Limit = BenchSettings.DefaultLimit)
{
    public const int DefaultRounds = 31;
    public const double DefaultLimit = 10;
}

/// <summary>
/// Rounds in which every contender has one turn, in changing order: what else the machine does, and how warm it is, falls on
/// all of them alike.
/// </summary>
internal static class BenchRounds
{
    /// <summary>
    /// A turn is as many repetitions as take so many seconds, so that the clock's own steps do not count, nor, in large shapes,
    /// a single slow step.
    /// </summary>
    public const double TurnSeconds = 20e-3;

    private const int MaxRepetitions = 1_000_000;

    /// <summary>Measures.</summary>
    /// <param name="contenders">What takes turns.</param>
    /// <param name="settings">How long.</param>
    /// <param name="progress">Told after each turn what part of it is over.</param>
    /// <param name="stop">Ends it with the rounds that are over.</param>
    /// <returns>The seconds of one repetition, for each contender and each round that is over.</returns>
    public static IReadOnlyList<IReadOnlyList<double>> Run(
        IReadOnlyList<IContender> contenders, BenchSettings settings, Action<double> progress, CancellationToken stop)
    {
        List<double>[] seconds = [.. contenders.Select(static _ => new List<double>())];
        int[] repetitions = new int[contenders.Count];
        for (int i = 0; i < contenders.Count && !stop.IsCancellationRequested; i++)
        {
            repetitions[i] = Repetitions(contenders[i]);
        }

        long begin = Stopwatch.GetTimestamp();
        for (int round = 0; round < settings.Rounds; round++)
        {
            double elapsed = Stopwatch.GetElapsedTime(begin).TotalSeconds;
            if (round > 0 && elapsed > settings.Limit)
            {
                break;
            }

            foreach (int i in Order(round, contenders.Count))
            {
                if (!stop.IsCancellationRequested)
                {
                    // What fits the caches is there then, and the threads are awake, whoever had the turn before.
                    contenders[i].Run(1);
                }

                if (stop.IsCancellationRequested)
                {
                    return [.. seconds.Select(own => own[..round])];
                }

                seconds[i].Add(contenders[i].Run(repetitions[i]) / repetitions[i]);
            }

            elapsed = Stopwatch.GetElapsedTime(begin).TotalSeconds;
            progress(Math.Max((round + 1.0) / settings.Rounds, Math.Min(1, elapsed / settings.Limit)));
        }

        return seconds;
    }

    /// <summary>How many of them take a turn's time. The first one, which may have memory to allocate, is not counted.</summary>
    public static int Repetitions(IContender contender)
    {
        contender.Run(1);
        int repetitions = 1;
        double seconds = contender.Run(1);
        while (seconds < TurnSeconds && repetitions < MaxRepetitions)
        {
            double factor = Math.Clamp(1.2 * TurnSeconds / Math.Max(seconds, 1e-9), 2, 100);
            repetitions = (int)Math.Min(MaxRepetitions, Math.Ceiling(repetitions * factor));
            seconds = contender.Run(repetitions);
        }

        return repetitions;
    }

    /// <summary>Each round begins with the next contender; every second one goes backward.</summary>
    private static IEnumerable<int> Order(int round, int count) => Enumerable.Range(0, count)
        .Select(turn => (round + (round % 2 == 0 ? turn : count - 1 - turn)) % count);
}
