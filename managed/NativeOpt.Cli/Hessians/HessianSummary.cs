namespace NativeOpt.Cli.Hessians;

/// <summary>The JSON document of <c>nativeopt hessian</c>.</summary>
internal sealed record HessianSummary(
    int Windows,
    int LanczosSteps,
    int Probes,
    int DensitySteps,
    bool FilterNormalization,
    ulong Seed,
    IReadOnlyList<double> Distances,
    HessianSummary.Solution[] Results,
    string? Folder)
{
    /// <summary>What the document says of some results.</summary>
    public static HessianSummary Of(HessianPlan plan, IReadOnlyList<HessianResult> results, string? folder) => new(
        plan.Windows,
        plan.LanczosSteps,
        plan.Probes,
        plan.DensitySteps,
        plan.FilterNormalisation,
        plan.Seed,
        plan.Distances,
        [.. results.Select(result => new Solution(
            result.Name,
            result.Parameters,
            result.Loss,
            result.GradientNorm,
            [.. result.Largest.Take(plan.Eigenvalues).Select(static pair => new Eigenvalue(pair.Value, pair.Residual))],
            [.. result.Pairs.Take(plan.Eigenvalues).Select(static pair => new Eigenvalue(pair.Value, pair.Residual))],
            result.Density.Trace,
            result.Density.TraceError,
            result.Lines,
            [.. result.Checks.Select(static check => new Check(check.Vector, check.Difference))]))],
        folder is null ? null : Path.GetFullPath(folder));

    internal sealed record Solution(
        string Name,
        int Parameters,
        double Loss,
        double GradientNorm,
        Eigenvalue[] Largest,
        Eigenvalue[] Smallest,
        double Trace,
        double TraceStandardError,
        IReadOnlyList<IReadOnlyList<double>> Losses,
        Check[] Checks);

    internal sealed record Eigenvalue(double Value, double Residual);

    internal sealed record Check(string Vector, double RelativeDifference);
}
