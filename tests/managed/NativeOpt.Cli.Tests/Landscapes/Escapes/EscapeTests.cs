using NativeOpt.Cli.Landscapes.Escapes;
using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Landscapes.Escapes;

/// <summary>Escape times against theory, and the statistics against times whose law is known.</summary>
public sealed class EscapeTests
{
    private static readonly EscapePlan _plan = new() { Rules = EscapeRule.All };

    [Fact]
    public void The_powers_are_those_of_the_theorems()
    {
        Assert.Equal([-0.5, -1, -1.5], EscapeRule.All.Select(static rule => rule.Power(noiseFollowsCurvature: true)));
        Assert.Equal([0, 0, 0], EscapeRule.All.Select(static rule => rule.Power(noiseFollowsCurvature: false)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Wells_have_the_same_barriers_in_temperatures_for_every_rule(bool fixedNoise)
    {
        EscapePlan plan = _plan with { HasFixedNoise = fixedNoise };
        foreach (EscapeRule rule in EscapeRule.All)
        {
            EscapeCell[] cells = [.. plan.Cells.Where(cell => cell.Rule == rule)];
            Assert.Equal(plan.Curvatures * EscapePlan.Barriers.Count, cells.Length);
            Assert.Equal(fixedNoise ? 4.5 : 5.8, Temperatures(cells[1]), 1e-9);
            Assert.Equal(fixedNoise ? 4.5 : 3.2, Temperatures(cells[^2]), 1e-9);
            Assert.All(cells, cell => Assert.Equal((fixedNoise ? 1 : cell.Curvature) / plan.BatchSize, cell.Noise * cell.Noise, 1e-9));
        }

        static double Temperatures(EscapeCell cell) =>
            2 * cell.Barrier / (cell.LearningRate * Math.Pow(cell.Noise, 2 + cell.Rule.NoisePower));
    }

    [Fact]
    public void Mean_times_count_those_who_stayed()
    {
        Assert.Equal(20, EscapeStatistics.MeanTime([new(10, true), new(20, true), new(30, false)]) - 10);
        Assert.Equal(15, EscapeStatistics.MeanTime([new(10, true), new(20, true)]));
    }

    [Fact]
    public void Times_of_a_known_law_have_its_power_within_the_interval()
    {
        // Exponential times of the mean (7/H)·exp(4·ΔL·H^power), which are watched until a time that is rarely reached.
        EscapePlan plan = _plan with { Starts = 2000 };
        EscapeTime[][] times =
        [
            .. plan.Cells.Select((cell, i) =>
            {
                double exponent = 6 * cell.Barrier * Math.Pow(cell.Curvature, cell.Rule.Power(noiseFollowsCurvature: true));
                double mean = 700 / cell.Curvature * Math.Exp(exponent);
                var random = new DeterministicRandom(4, (ulong)i);
                return (EscapeTime[])
                [
                    .. Enumerable.Range(0, plan.Starts).Select(_ => -mean * Math.Log(1 - random.NextDouble()))
                        .Select(time => new EscapeTime((int)Math.Min(time + 1, 2 * mean), time < 2 * mean)),
                ];
            }),
        ];
        (IReadOnlyList<EscapeMeasurement> wells, IReadOnlyList<EscapeLaw> laws) = EscapeStatistics.Measure(plan, times);
        foreach (EscapeLaw law in laws)
        {
            double expected = law.Rule.Power(noiseFollowsCurvature: true);
            AssertWithin(4, law.Power, expected);
            Assert.InRange(law.Power.High - law.Power.Low, 0.01, 0.3);
            Assert.All(law.Curvatures.Zip(law.Sensitivities), own => AssertWithin(4, own.Second, 6 * Math.Pow(own.First, expected)));

            // The factor before the exponential flattens what is measured without its removal.
            Assert.False(law.PlainSlope.Contains(expected));
        }

        Assert.All(wells, static well => Assert.InRange(well.Escapes, 1600, 1850));
        Assert.All(wells, static well => Assert.True(well.MeanTime.Contains(well.MeanTime.Value)));
    }

    [Fact]
    public void Simulated_rules_follow_the_theory()
    {
        EscapePlan plan = _plan with { Starts = 60, Curvatures = 3 };
        IReadOnlyList<EscapeTime[]> times = EscapeRunner.Run(plan, null, static () => { }, CancellationToken.None);
        (_, IReadOnlyList<EscapeLaw> laws) = EscapeStatistics.Measure(plan, times);
        foreach (EscapeLaw law in laws)
        {
            AssertWithin(4, law.Power, law.Rule.Power(noiseFollowsCurvature: true));
        }
    }

    [Fact]
    public void Seeds_count_and_threads_do_not()
    {
        EscapePlan plan = _plan with { Rules = [EscapeRule.All[0]], Starts = 20, Curvatures = 2, BatchSize = 0.2 };
        IReadOnlyList<EscapeTime[]> first = Run(plan with { Threads = 1 });
        Assert.Equal(first, Run(plan with { Threads = 3 }));
        Assert.NotEqual(first, Run(plan with { Seed = 2 }));
        Assert.All(first, static times => Assert.InRange(times.Count(static time => time.HasLeft), 18, 20));

        static IReadOnlyList<EscapeTime[]> Run(EscapePlan plan) => EscapeRunner.Run(plan, null, static () => { }, CancellationToken.None);
    }

    // In standard errors: another processor's sines may lead other starts elsewhere, so that 95 % would fail now and then.
    private static void AssertWithin(double errors, Estimate measured, double expected)
    {
        double error = (measured.High - measured.Low) / (2 * 1.96);
        Assert.InRange(measured.Value, expected - (errors * error), expected + (errors * error));
    }
}
