namespace NativeOpt.Cli.Deo;

/// <summary>What came of a plan, also where it ended early.</summary>
/// <param name="Plan">The plan.</param>
/// <param name="Runs">The runs that are done.</param>
internal sealed record DeoResults(DeoPlan Plan, IReadOnlyDictionary<DeoJob, DeoRun> Runs)
{
    /// <summary>The rows of the table for which there is a run.</summary>
    public IReadOnlyList<DeoCell> Cells { get; } =
    [
        .. from rule in Plan.Rules
           from rate in Plan.Rates(rule)
           from variant in Plan.Variants
           let runs = Runs.Where(own => own.Key.Rule == rule && own.Key.LearningRate == rate && own.Key.Variant == variant)
               .OrderBy(static own => own.Key.Seed).ToDictionary(static own => own.Key.Seed, static own => own.Value)
           where runs.Count > 0
           select new DeoCell(rule, variant, rate, runs),
    ];

    /// <summary>Every dimer against none.</summary>
    public IReadOnlyList<DeoComparison> Comparisons => DeoComparison.Of(Plan, Cells);
}
