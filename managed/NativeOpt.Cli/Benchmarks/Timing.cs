namespace NativeOpt.Cli.Benchmarks;

/// <summary>What the times of one contender come to, in seconds.</summary>
/// <param name="Median">The median.</param>
/// <param name="Spread">The distance between the quartiles, in which the middle half of them lies.</param>
internal readonly record struct Timing(double Median, double Spread)
{
    public static Timing Of(IEnumerable<double> seconds)
    {
        double[] sorted = [.. seconds.Order()];
        return new Timing(Quantile(sorted, 0.5), Quantile(sorted, 0.75) - Quantile(sorted, 0.25));
    }

    // Between two of the numbers, in proportion.
    private static double Quantile(double[] sorted, double part)
    {
        double at = part * (sorted.Length - 1);
        int below = (int)at;
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((at - below) * (sorted[above] - sorted[below]));
    }
}
