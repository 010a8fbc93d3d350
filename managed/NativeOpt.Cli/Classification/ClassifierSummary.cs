using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Classification;

/// <summary>The JSON document of <c>nativeopt classify</c>.</summary>
internal sealed record ClassifierSummary(
    string Images,
    int TrainImages,
    int TestImages,
    int Classes,
    double LabelNoise,
    IReadOnlyList<int> Hidden,
    long Parameters,
    int Epochs,
    int BatchSize,
    string Schedule,
    double? WeightDecay,
    ulong Seed,
    int Seeds,
    int HeldOutImages,
    string Reference,
    IReadOnlyList<ClassifierSummary.OptimizerSummary> Results,
    string? Folder)
{
    /// <summary>What the document says of some results.</summary>
    public static ClassifierSummary Of(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results, string? folder) => new(
        plan.Images.Name,
        plan.TrainImages,
        plan.Images.Test.Count,
        plan.Images.Classes,
        plan.LabelNoise,
        plan.Hidden,
        plan.ParameterCount,
        plan.Epochs,
        plan.BatchSize,
        plan.Schedule.ToString().ToLowerInvariant(),
        plan.WeightDecay,
        plan.Seed,
        plan.Seeds,
        plan.Searches ? plan.HeldOut : 0,
        ClassifierResult.Reference(results).Name,
        [.. results.Select(result => new OptimizerSummary(
            result.Name,
            result.Choice.LearningRate,
            result.Choice.IsAtEnd,
            result.Choice.Tried,
            result.Diverged,
            result.TrainAccuracy,
            result.TestAccuracy,
            result.Gap,
            result.Difference(ClassifierResult.Reference(results), plan.Seed),
            [.. result.Runs.Select(static own => new RunSummary(
                own.Seed, own.Run.TrainAccuracy, own.Run.Accuracy, own.Run.SwitchedTensors))]))],
        folder is null ? null : Path.GetFullPath(folder));

    /// <summary>An optimizer; what has no number is null.</summary>
    internal sealed record OptimizerSummary(
        string Optimizer,
        double LearningRate,
        bool IsAtEndOfGrid,
        IReadOnlyList<TriedRate> LearningRates,
        int Diverged,
        Spread TrainAccuracy,
        Spread TestAccuracy,
        Spread Gap,
        Estimate? DifferenceToReference,
        RunSummary[] Runs);

    /// <summary>A run.</summary>
    internal sealed record RunSummary(ulong Seed, double TrainAccuracy, double TestAccuracy, int SwitchedTensors);
}
