using MathNet.Numerics;
using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>What was measured of a well.</summary>
/// <param name="Cell">The well.</param>
/// <param name="MeanTime">The mean escape time, in steps.</param>
/// <param name="Escapes">The starts that left.</param>
internal sealed record EscapeMeasurement(EscapeCell Cell, Estimate MeanTime, int Escapes);

/// <summary>What was measured of a rule.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Curvatures">The curvatures of its wells.</param>
/// <param name="Sensitivities">At each of them ∂log τ/∂ΔL: one over the temperature, without the factor before the exponential.
/// </param>
/// <param name="Power">The slope of log(∂log τ/∂ΔL) against log H: the power of H in the exponent.</param>
/// <param name="PlainSlope">The slope of log log τ against log H at the middle barrier, factor included.</param>
internal sealed record EscapeLaw(
    EscapeRule Rule, IReadOnlyList<double> Curvatures, IReadOnlyList<Estimate> Sensitivities, Estimate Power, Estimate PlainSlope);

/// <summary>
/// Means and slopes of escape times, with bootstrap intervals: the times of each well are drawn anew, with replacement, and everything
/// is computed again.
/// </summary>
internal static class EscapeStatistics
{
    private const int Draws = 1000;

    /// <summary>The mean time of each well. Escapes are memoryless, so that all steps over the escapes is the estimate, also with
    /// starts that did not leave while they were watched.</summary>
    public static double MeanTime(IReadOnlyList<EscapeTime> times) =>
        times.Sum(static time => (double)time.Steps) / times.Count(static time => time.HasLeft);

    /// <summary>Measures all wells and all rules.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="times">The times of each of its wells.</param>
    public static (IReadOnlyList<EscapeMeasurement> Wells, IReadOnlyList<EscapeLaw> Laws) Measure(
        EscapePlan plan, IReadOnlyList<EscapeTime[]> times)
    {
        IReadOnlyList<EscapeCell> cells = plan.Cells;
        double[] means = [.. times.Select(MeanTime)];
        double[][] drawn = new double[Draws][];
        var random = new DeterministicRandom(plan.Seed, ulong.MaxValue);
        for (int draw = 0; draw < Draws; draw++)
        {
            drawn[draw] = [.. times.Select(own => MeanTime(Redraw(own, random)))];
        }

        return (
            [.. cells.Index().Select(well => new EscapeMeasurement(
                well.Item,
                Interval(means, drawn, all => all[well.Index]),
                times[well.Index].Count(static time => time.HasLeft)))],
            [.. plan.Rules.Index().Select(rule => Law(plan, rule.Item, cells, means, drawn, rule.Index))]);
    }

    private static EscapeLaw Law(
        EscapePlan plan, EscapeRule rule, IReadOnlyList<EscapeCell> cells, double[] means, double[][] drawn, int number)
    {
        int barriers = EscapePlan.Barriers.Count;
        int first = number * plan.Curvatures * barriers;
        double[] curvatures = [.. Enumerable.Range(0, plan.Curvatures).Select(i => cells[first + (i * barriers)].Curvature)];
        double[] logs = [.. curvatures.Select(static curvature => Math.Log(curvature))];
        return new EscapeLaw(
            rule,
            curvatures,
            [.. Enumerable.Range(0, plan.Curvatures).Select(i => Interval(means, drawn, all => Sensitivity(all, i)))],
            Interval(means, drawn, all => Slope(logs, i => Math.Log(Sensitivity(all, i)))),
            Interval(means, drawn, all => Slope(logs, i => Math.Log(Math.Log(all[first + (i * barriers) + (barriers / 2)])))));

        double Sensitivity(double[] all, int curvature)
        {
            double[] heights = [.. EscapePlan.Barriers];
            return Fit.Line(
                heights, [.. Enumerable.Range(0, barriers).Select(i => Math.Log(all[first + (curvature * barriers) + i]))]).B;
        }
    }

    private static double Slope(double[] x, Func<int, double> y) =>
        Fit.Line(x, [.. Enumerable.Range(0, x.Length).Select(y)]).B;

    private static Estimate Interval(double[] means, double[][] drawn, Func<double[], double> statistic) =>
        Estimate.Of(statistic(means), [.. drawn.Select(statistic)]);

    private static EscapeTime[] Redraw(EscapeTime[] times, DeterministicRandom random)
    {
        EscapeTime[] drawn = new EscapeTime[times.Length];
        for (int i = 0; i < drawn.Length; i++)
        {
            drawn[i] = times[random.NextInt32(times.Length)];
        }

        return drawn;
    }
}
