namespace NativeOpt.Cli.Replay;

/// <summary>The largest |error| / tolerance of a replay so far, and where it was.</summary>
internal sealed class WorstRatio
{
    /// <summary>The ratio; infinite if a result is not finite.</summary>
    public double Value { get; private set; }

    /// <summary>Where that was, and what came out there; empty as long as nothing differs.</summary>
    public string Place { get; private set; } = "";

    /// <summary>Compares one array of a step, counted from 1.</summary>
    public void Compare(
        int step, string what, ReadOnlySpan<float> results, ReadOnlySpan<double> expected, Tolerance tolerance)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            Compare(step, $"{what}, element {i}", results[i], expected[i], tolerance);
        }
    }

    /// <summary>Compares one number of a step, counted from 1.</summary>
    public void Compare(int step, string what, double result, double expected, Tolerance tolerance)
    {
        double allowed = tolerance.Absolute + (tolerance.Relative * Math.Abs(expected));
        double error = Math.Abs(result - expected);
        double ratio = error == 0 ? 0 : error / allowed;
        if (double.IsNaN(ratio))
        {
            ratio = double.PositiveInfinity;
        }

        if (ratio > Value)
        {
            Value = ratio;
            Place = FormattableString.Invariant($"step {step}, {what}: {result:G9} instead of {expected:G9}");
        }
    }
}
