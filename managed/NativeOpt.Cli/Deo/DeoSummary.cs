using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Deo;

/// <summary>The JSON document of <c>nativeopt deo</c>. Spike rates are of 1,000 steps. What diverged has no number: null.</summary>
internal sealed record DeoSummary(
    string Text,
    string Model,
    GptConfig Shape,
    int BatchSize,
    int Gradients,
    int Seeds,
    SpikeActivation Spike,
    int Runs,
    int RunsDone,
    DeoSummary.Cell[] Results,
    DeoSummary.Comparison[] Comparisons,
    string Folder)
{
    /// <summary>What the document says of the results.</summary>
    public static DeoSummary Of(string textName, DeoResults results, string folder) => new(
        textName,
        results.Plan.Shape.Name,
        results.Plan.Model,
        results.Plan.Shape.BatchSize,
        results.Plan.Gradients,
        results.Plan.Seeds,
        results.Plan.Spike,
        results.Plan.Jobs.Count,
        results.Runs.Count,
        [.. results.Cells.Select(static cell => new Cell(
            cell.Rule.Name,
            cell.Variant.Name,
            cell.LearningRate,
            cell.Runs.Count,
            cell.Diverged,
            cell.SpikeRate,
            cell.TrainLoss,
            cell.ValidationLoss))],
        [.. results.Comparisons.Select(static own => new Comparison(
            own.Rule.Name,
            own.Variant.Name,
            own.Pairs,
            own.SpikeRate,
            own.FewerSpikes,
            own.MoreSpikes,
            own.TrainLoss,
            own.ValidationLoss,
            own.TrainLossOfEqualSteps,
            own.DivergedAlone,
            own.DivergedWith,
            own.BestAlone?.LearningRate,
            own.BestAlone?.ValidationLoss,
            own.BestWith?.LearningRate,
            own.BestWith?.ValidationLoss))],
        Path.GetFullPath(folder));

    internal sealed record Cell(
        string Optimizer,
        string Dimer,
        double LearningRate,
        int Seeds,
        int Diverged,
        Spread SpikeRate,
        Spread TrainLoss,
        Spread ValidationLoss);

    internal sealed record Comparison(
        string Optimizer,
        string Dimer,
        int Pairs,
        Estimate SpikeRate,
        int FewerSpikes,
        int MoreSpikes,
        Estimate TrainLoss,
        Estimate ValidationLoss,
        Estimate TrainLossOfEqualSteps,
        int DivergedAlone,
        int DivergedWith,
        double? BestLearningRateAlone,
        Spread? BestValidationLossAlone,
        double? BestLearningRateWith,
        Spread? BestValidationLossWith);
}
