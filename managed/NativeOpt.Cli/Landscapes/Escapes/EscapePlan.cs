namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>Some starts in a well of one curvature and one barrier.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Curvature">H, at the minimum; at the top of the barrier it is −H.</param>
/// <param name="Barrier">ΔL, the height of the barrier.</param>
/// <param name="Noise">σ, the deviation of the gradient's noise.</param>
/// <param name="LearningRate">η.</param>
internal sealed record EscapeCell(EscapeRule Rule, double Curvature, double Barrier, double Noise, double LearningRate);

/// <summary>What <c>nativeopt landscape escape</c> is to do.</summary>
internal sealed record EscapePlan
{
    // Barriers in temperatures at the sharpest and at the flattest well: low enough to wait for, high enough for the theory.
    private const double LowBarrier = 3.2, HighBarrier = 5.8;

    // The curvatures of fixed noise, to which the barriers are not to be fitted, span such a factor.
    private const double FixedNoiseSpan = 4;

    public required IReadOnlyList<EscapeRule> Rules { get; init; }

    /// <summary>Starts of each well.</summary>
    public int Starts { get; init; } = 2000;

    /// <summary>The curvatures of each rule.</summary>
    public int Curvatures { get; init; } = 5;

    /// <summary>The barriers of each curvature, in units of the middle one.</summary>
    public static IReadOnlyList<double> Barriers { get; } = [0.7, 1, 1.3];

    /// <summary>B: the noise's variance is H/B, as that of the mean over B samples, or 1/B if it is fixed.</summary>
    public double BatchSize { get; init; } = 0.05;

    /// <summary>Whether the noise does not depend on the curvature.</summary>
    public bool HasFixedNoise { get; init; }

    /// <summary>Selects the noise.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Wells that are simulated at a time; it never changes a result.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>All wells: the curvatures of a rule from 1 on, by equal factors.</summary>
    public IReadOnlyList<EscapeCell> Cells => [.. Rules.SelectMany(CellsOf)];

    private IEnumerable<EscapeCell> CellsOf(EscapeRule rule)
    {
        double power = rule.Power(noiseFollowsCurvature: !HasFixedNoise);
        double span = HasFixedNoise ? FixedNoiseSpan : Math.Pow(HighBarrier / LowBarrier, -1 / power);
        double rate = rule.Rate(HasFixedNoise ? (LowBarrier + HighBarrier) / 2 : HighBarrier, NoiseAt(1));
        return
            from i in Enumerable.Range(0, Curvatures)
            let curvature = Math.Pow(span, (double)i / (Curvatures - 1))
            from barrier in Barriers
            select new EscapeCell(rule, curvature, barrier, NoiseAt(curvature), rate);
    }

    private double NoiseAt(double curvature) => Math.Sqrt((HasFixedNoise ? 1 : curvature) / BatchSize);
}
