using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>The JSON document of <c>nativeopt landscape escape</c>.</summary>
internal sealed record EscapeSummary(
    int Starts,
    double BatchSize,
    bool FixedNoise,
    ulong Seed,
    EscapeSummary.Well[] Wells,
    EscapeSummary.Law[] Laws,
    string? Folder)
{
    /// <summary>What the document says of some measurements.</summary>
    public static EscapeSummary Of(
        EscapePlan plan, IReadOnlyList<EscapeMeasurement> wells, IReadOnlyList<EscapeLaw> laws, string? folder) => new(
        plan.Starts,
        plan.BatchSize,
        plan.HasFixedNoise,
        plan.Seed,
        [.. wells.Select(static well => new Well(
            well.Cell.Rule.Name,
            well.Cell.Curvature,
            well.Cell.Barrier,
            well.Cell.Noise,
            well.Cell.LearningRate,
            well.Escapes,
            well.MeanTime))],
        [.. laws.Select(law => new Law(
            law.Rule.Name,
            law.Rule.Power(!plan.HasFixedNoise),
            law.Power,
            law.Power.Contains(law.Rule.Power(!plan.HasFixedNoise)),
            law.PlainSlope))],
        folder is null ? null : Path.GetFullPath(folder));

    internal sealed record Well(
        string Optimizer,
        double Curvature,
        double Barrier,
        double Noise,
        double LearningRate,
        int Escapes,
        Estimate MeanTime);

    internal sealed record Law(string Optimizer, double Predicted, Estimate Power, bool Holds, Estimate LogLogSlope);
}
