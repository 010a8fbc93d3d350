using MathNet.Numerics.Statistics;

namespace NativeOpt.Cli.Statistics;

/// <summary>A number over some runs.</summary>
/// <param name="Mean">Its mean; NaN of no run, or if one has none.</param>
/// <param name="StandardDeviation">Its standard deviation, with n − 1; NaN of one run, which tells nothing of it.</param>
internal readonly record struct Spread(double Mean, double StandardDeviation)
{
    /// <summary>The spread of the numbers of the runs.</summary>
    public static Spread Of(IEnumerable<double> values)
    {
        double[] all = [.. values];
        return new Spread(ArrayStatistics.Mean(all), ArrayStatistics.StandardDeviation(all));
    }
}
