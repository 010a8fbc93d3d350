using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Finetuning;

/// <summary>Losses after an epoch, in nats per character; they are NaN or infinite where the run diverged.</summary>
/// <param name="Epoch">Epochs done; 0 before the first.</param>
/// <param name="TrainingLoss">Of the training part.</param>
/// <param name="HeldOutLoss">Of the part that learning rates are chosen by.</param>
/// <param name="ValidationLoss">Of the validation part.</param>
internal sealed record FinetunePoint(int Epoch, double TrainingLoss, double HeldOutLoss, double ValidationLoss)
{
    /// <summary>The validation perplexity per character.</summary>
    public double Perplexity => Math.Exp(ValidationLoss);

    /// <summary>The generalisation gap: validation loss − training loss.</summary>
    public double Gap => ValidationLoss - TrainingLoss;
}

/// <summary>One fine-tuning.</summary>
/// <param name="LearningRate">The peak learning rate.</param>
/// <param name="Seed">What selects the order of the windows, and a dimer's first direction.</param>
/// <param name="Points">The losses before the first epoch and after each; fewer where the run diverged.</param>
/// <param name="IsDiverged">Whether a loss became infinite or NaN.</param>
internal sealed record FinetuneRun(double LearningRate, ulong Seed, IReadOnlyList<FinetunePoint> Points, bool IsDiverged)
{
    /// <summary>What learning rates are chosen by: the loss of the held-out part after the last epoch.</summary>
    public double HeldOutLoss => IsDiverged ? double.PositiveInfinity : Points[^1].HeldOutLoss;
}

/// <summary>What an optimizer came to.</summary>
/// <param name="Name">The optimizer.</param>
/// <param name="LearningRate">The learning rate of its runs.</param>
/// <param name="Tried">The runs that chose it, one for each learning rate; none where it was given.</param>
/// <param name="Runs">A run for each seed.</param>
internal sealed record FinetuneResult(
    string Name, double LearningRate, IReadOnlyList<FinetuneRun> Tried, IReadOnlyList<FinetuneRun> Runs)
{
    /// <summary>Whether all runs have all epochs; where one has not, there is no mean.</summary>
    public bool IsComplete => Runs.All(static run => !run.IsDiverged);

    /// <summary>The spread of a number over the seeds, after an epoch.</summary>
    public Spread At(int epoch, Func<FinetunePoint, double> number) => Spread.Of(Runs.Select(run => number(run.Points[epoch])));

    /// <summary>Whether the chosen learning rate is the smallest or the largest that was tried.</summary>
    public bool IsAtEndOfGrid => Tried.Count > 0
        && (LearningRate == Tried.Min(static run => run.LearningRate) || LearningRate == Tried.Max(static run => run.LearningRate));
}
