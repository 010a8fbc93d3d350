using NativeOpt.Cli.Classification;
using NativeOpt.Cli.Statistics;
using Xunit;

namespace NativeOpt.Cli.Tests.Classification;

/// <summary>Means, deviations and intervals over seeds.</summary>
public sealed class SpreadTests
{
    [Fact]
    public void Means_and_deviations_are_those_of_the_seeds()
    {
        ClassifierResult result = Result("adam", (1, 0.5), (2, 0.7), (3, 0.9));
        Assert.Equal(0.7, result.TestAccuracy.Mean, 12);
        Assert.Equal(0.2, result.TestAccuracy.StandardDeviation, 12);
        Assert.Equal(0.3, result.Gap.Mean, 12);
        Assert.Equal("70.00 ± 20.00", ClassifierView.Percent(result.TestAccuracy));
        Assert.Equal("50.00", ClassifierView.Percent(Result("adam", (1, 0.5)).TestAccuracy));
        Assert.Equal("diverged", ClassifierView.Percent(Result("adam", (1, 0.5), (2, double.NaN)).TestAccuracy));
    }

    [Fact]
    public void Differences_are_of_equal_seeds_and_their_interval_holds_the_mean()
    {
        // Of seeds 2 and 3, by 0.1 and 0.2; seed 1 has no other.
        ClassifierResult one = Result("dualadam", (2, 0.8), (3, 0.9)), other = Result("adam", (1, 0.1), (2, 0.7), (3, 0.7));
        Estimate difference = one.Difference(other, seed: 1)!.Value;
        Assert.Equal(0.15, difference.Value, 12);
        Assert.Equal((0.1, 0.2), (Math.Round(difference.Low, 12), Math.Round(difference.High, 12)));
        Assert.Equal(difference, one.Difference(other, seed: 1));
        Assert.Null(one.Difference(Result("adam", (2, 0.7)), seed: 1));
        Assert.Null(one.Difference(Result("adam", (2, 0.7), (3, double.NaN)), seed: 1));
    }

    [Fact]
    public void A_rate_at_an_end_of_the_grid_is_marked()
    {
        Assert.True(Choice(0.1).IsAtEnd);
        Assert.False(Choice(0.2).IsAtEnd);
        Assert.True(Choice(0.3).IsAtEnd);
        Assert.Equal(("0.3*", "0.2"), (ClassifierView.Rate(Choice(0.3)), ClassifierView.Rate(Choice(0.2))));
        Assert.False(new ClassifierChoice(ClassifierOptimizer.All[0], 0.1, []).IsAtEnd);

        static ClassifierChoice Choice(double rate) => new(
            ClassifierOptimizer.All[0], rate, [new TriedRate(0.1, 0), new TriedRate(0.2, 0), new TriedRate(0.3, 0)]);
    }

    private static ClassifierResult Result(string name, params (int Seed, double Accuracy)[] runs) => new(
        new ClassifierChoice(ClassifierOptimizer.All.First(own => own.Name == name), 0.1, []),
        [.. runs.Select(static own => new SeedRun((ulong)own.Seed, new ClassifierRun([], 1, own.Accuracy, 0)))]);
}
