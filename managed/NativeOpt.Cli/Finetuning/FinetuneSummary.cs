using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Finetuning;

/// <summary>The JSON document of <c>nativeopt finetune</c>.</summary>
internal sealed record FinetuneSummary(
    string Start,
    string Text,
    int TrainingCharacters,
    int HeldOutCharacters,
    int ValidationCharacters,
    int UnknownCharacters,
    int Epochs,
    int StepsPerEpoch,
    int BatchSize,
    IReadOnlyList<ulong> Seeds,
    FinetuneSummary.Result[] Results,
    IReadOnlyList<FinetuneComparison> Comparisons,
    string Folder)
{
    /// <summary>What the document says of some results.</summary>
    /// <param name="plan">What was done.</param>
    /// <param name="task">The model and the text.</param>
    /// <param name="results">What came of it.</param>
    /// <param name="folder">The folder of the files.</param>
    public static FinetuneSummary Of(FinetunePlan plan, FinetuneTask task, IReadOnlyList<FinetuneResult> results, string folder) => new(
        task.StartName,
        task.TextName,
        task.Data.Training.Length,
        task.Data.HeldOut.Length,
        task.Data.Validation.Length,
        task.UnknownCharacters,
        plan.Epochs,
        task.Data.StepsPerEpoch,
        plan.BatchSize,
        [.. results[0].Runs.Select(static run => run.Seed)],
        [.. results.Select(static result => new Result(
            result.Name,
            result.LearningRate,
            [.. result.Tried.Select(static run => new TriedRate(run.LearningRate, run.HeldOutLoss))],
            result.IsComplete
                ? [.. Enumerable.Range(0, result.Runs[0].Points.Count).Select(epoch => new EpochSummary(
                    epoch,
                    result.At(epoch, static point => point.TrainingLoss),
                    result.At(epoch, static point => point.ValidationLoss),
                    result.At(epoch, static point => point.Perplexity),
                    result.At(epoch, static point => point.Gap)))]
                : null))],
        FinetuneComparison.All(results),
        Path.GetFullPath(folder));

    /// <summary>What an optimizer came to; without epochs if a run of it diverged.</summary>
    internal sealed record Result(string Optimizer, double LearningRate, TriedRate[] Tried, EpochSummary[]? Epochs);

    /// <summary>A learning rate that was tried; no loss if the run diverged.</summary>
    internal sealed record TriedRate(double LearningRate, double HeldOutLoss);

    /// <summary>Means and standard deviations over the seeds.</summary>
    internal sealed record EpochSummary(
        int Epoch, Spread TrainingLoss, Spread ValidationLoss, Spread ValidationPerplexity, Spread GeneralizationGap);
}
