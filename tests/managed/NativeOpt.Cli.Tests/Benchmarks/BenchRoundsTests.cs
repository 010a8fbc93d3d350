using NativeOpt.Cli.Benchmarks;
using Xunit;

namespace NativeOpt.Cli.Tests.Benchmarks;

/// <summary>Turns, rounds and what their times come to, with contenders whose times are made up.</summary>
public sealed class BenchRoundsTests
{
    private readonly List<string> _turns = [];

    [Fact]
    public void Everyone_has_one_turn_in_each_round_in_changing_order()
    {
        Scripted[] contenders = [new("a", 1, _turns), new("b", 2, _turns), new("c", 3, _turns)];
        List<double> progress = [];
        IReadOnlyList<IReadOnlyList<double>> seconds =
            BenchRounds.Run(contenders, new BenchSettings(6, 1000), progress.Add, CancellationToken.None);
        Assert.Equal([1, 1, 1, 1, 1, 1], seconds[0]);
        Assert.Equal([2, 2, 2, 2, 2, 2], seconds[1]);
        Assert.Equal([3, 3, 3, 3, 3, 3], seconds[2]);

        // Before the rounds each had two runs, one of which to find out how long it takes.
        Assert.Equal("aabbcc", string.Concat(_turns[..6]));

        // A turn is a run that does not count, and one that does.
        string[][] turns = [.. _turns.Skip(6).Chunk(2)];
        Assert.All(turns, static turn => Assert.Equal(turn[0], turn[1]));
        string[] rounds = [.. turns.Chunk(3).Select(static round => string.Concat(round.Select(static turn => turn[1])))];
        Assert.All(rounds, static round => Assert.Equal("abc", string.Concat(round.Order())));
        Assert.Equal(6, rounds.Length);
        Assert.Equal(6, rounds.Distinct().Count());
        Assert.Equal(1, progress[^1]);
        Assert.Equal(progress.Order(), progress);
    }

    [Fact]
    public void Short_work_is_repeated_until_a_turn_is_long_enough()
    {
        var contender = new Scripted("a", 1e-6, _turns);
        int repetitions = BenchRounds.Repetitions(contender);
        Assert.InRange(repetitions * 1e-6, BenchRounds.TurnSeconds, 3 * BenchRounds.TurnSeconds);
        IReadOnlyList<double> seconds =
            BenchRounds.Run([contender], new BenchSettings(2, 1000), static _ => { }, CancellationToken.None)[0];
        Assert.Equal([1e-6, 1e-6], seconds, static (x, y) => Math.Abs(x - y) < 1e-12);
        Assert.Equal(1, BenchRounds.Repetitions(new Scripted("b", 1, _turns)));
    }

    [Fact]
    public void The_limit_leaves_one_round_at_least()
    {
        IReadOnlyList<IReadOnlyList<double>> seconds = BenchRounds.Run(
            [new Scripted("a", 1, _turns)], new BenchSettings(100, 0), static _ => { }, CancellationToken.None);
        Assert.Equal([1], seconds[0]);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(4, 0)] // before the first round
    [InlineData(5, 0)] // within it, before what counts
    [InlineData(6, 0)] // ... and after it
    [InlineData(8, 1)]
    [InlineData(9, 1)]
    public void Cancellation_leaves_whole_rounds(int runsBefore, int rounds)
    {
        using var stop = new CancellationTokenSource();
        if (runsBefore == 0)
        {
            stop.Cancel();
        }

        Scripted[] contenders =
        [
            new("a", 1, _turns) { AfterRun = () => Stop() }, new("b", 1, _turns) { AfterRun = () => Stop() },
        ];
        IReadOnlyList<IReadOnlyList<double>> seconds =
            BenchRounds.Run(contenders, new BenchSettings(50, 1000), static _ => { }, stop.Token);
        Assert.Equal([rounds, rounds], seconds.Select(static own => own.Count));
        Assert.Equal(runsBefore, _turns.Count);

        void Stop()
        {
            if (_turns.Count == runsBefore)
            {
                stop.Cancel();
            }
        }
    }

    [Fact]
    public void Timing_is_the_median_and_the_distance_between_the_quartiles()
    {
        Assert.Equal(new Timing(3, 2), Timing.Of([5, 1, 4, 2, 3]));
        Assert.Equal(new Timing(2.5, 1.5), Timing.Of([4, 1, 3, 2]));
        Assert.Equal(new Timing(7, 0), Timing.Of([7]));
    }

    /// <summary>Takes as long as it is told, and no time.</summary>
    private sealed class Scripted(string name, double seconds, List<string> turns) : IContender
    {
        public string Name => name;

        public Action? AfterRun { get; init; }

        public double Run(int repetitions)
        {
            turns.Add(name);
            AfterRun?.Invoke();
            return repetitions * seconds;
        }
    }
}
