using MathNet.Numerics.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Statistics;

/// <summary>A number that was measured, with the ends of its 95 % interval.</summary>
internal readonly record struct Estimate(double Value, double Low, double High)
{
    /// <summary>Whether a number is within the interval.</summary>
    public bool Contains(double number) => Low <= number && number <= High;

    /// <summary>A number with what it became when the data were drawn anew, with replacement (percentile bootstrap).</summary>
    /// <param name="value">The number.</param>
    /// <param name="drawn">The same of each draw; they are put into another order.</param>
    public static Estimate Of(double value, double[] drawn) =>
        new(value, ArrayStatistics.QuantileInplace(drawn, 0.025), ArrayStatistics.QuantileInplace(drawn, 0.975));

    /// <summary>
    /// The mean of some numbers, such as differences of pairs of runs, with its interval by bootstrap over them; NaN if there are none. Of
    /// few numbers the interval is narrower than it should be.
    /// </summary>
    /// <param name="values">The numbers.</param>
    /// <param name="random">Draws them.</param>
    /// <param name="draws">How often all of them are drawn.</param>
    public static Estimate OfMean(double[] values, DeterministicRandom random, int draws = 10_000)
    {
        if (values.Length == 0)
        {
            return new Estimate(double.NaN, double.NaN, double.NaN);
        }

        double[] means = new double[draws];
        foreach (ref double mean in means.AsSpan())
        {
            double sum = 0;
            for (int i = 0; i < values.Length; i++)
            {
                sum += values[random.NextInt32(values.Length)];
            }

            mean = sum / values.Length;
        }

        return Of(ArrayStatistics.Mean(values), means);
    }
}
