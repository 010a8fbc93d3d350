using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification;

/// <summary>A learning rate that was tried.</summary>
/// <param name="LearningRate">The rate.</param>
/// <param name="Accuracy">The part of the images held out whose class was the likeliest one; NaN if the run has diverged.</param>
internal sealed record TriedRate(double LearningRate, double Accuracy);

/// <summary>The learning rate of an optimizer.</summary>
/// <param name="Optimizer">The optimizer.</param>
/// <param name="LearningRate">The best rate that was tried, or the one that was given.</param>
/// <param name="Tried">All that were tried, the smallest first; none if it was given.</param>
internal sealed record ClassifierChoice(ClassifierOptimizer Optimizer, double LearningRate, IReadOnlyList<TriedRate> Tried)
{
    /// <summary>Whether the best rate is at an end of the grid, so that a better one may lie outside.</summary>
    public bool IsAtEnd => Tried.Count > 1 && (LearningRate == Tried[0].LearningRate || LearningRate == Tried[^1].LearningRate);
}

/// <summary>The run of a seed.</summary>
internal sealed record SeedRun(ulong Seed, ClassifierRun Run);

/// <summary>What came of an optimizer.</summary>
/// <param name="Choice">The optimizer and its learning rate.</param>
/// <param name="Runs">The runs, in the order of their seeds.</param>
internal sealed record ClassifierResult(ClassifierChoice Choice, IReadOnlyList<SeedRun> Runs)
{
    /// <summary>The one of some results that the others are compared with.</summary>
    public static ClassifierResult Reference(IReadOnlyList<ClassifierResult> results) =>
        results.FirstOrDefault(static result => result.Choice.Optimizer.IsReference) ?? results[0];

    /// <summary>What the tables call the optimizer.</summary>
    public string Name => Choice.Optimizer.Name;

    /// <summary>The runs that diverged.</summary>
    public int Diverged => Runs.Count(static own => own.Run.HasDiverged);

    /// <summary>The accuracy on the training images.</summary>
    public Spread TrainAccuracy => SpreadOf(static run => run.TrainAccuracy);

    /// <summary>The accuracy on the images to test with.</summary>
    public Spread TestAccuracy => SpreadOf(static run => run.Accuracy);

    /// <summary>Training accuracy less test accuracy.</summary>
    public Spread Gap => SpreadOf(static run => run.Gap);

    /// <summary>
    /// How much more accurate this optimizer is than another on the images to test with: the mean over the seeds that both have, whose
    /// runs began with the same weights and saw the same batches, with a 95 % bootstrap interval over these seeds.
    /// </summary>
    /// <param name="reference">The other one.</param>
    /// <param name="seed">Selects what the bootstrap draws.</param>
    /// <returns>The difference; null if there are fewer than two seeds, or a run diverged.</returns>
    public Estimate? Difference(ClassifierResult reference, ulong seed)
    {
        double[] differences =
        [
            .. Runs.Join(
                reference.Runs, static own => own.Seed, static own => own.Seed,
                static (own, other) => own.Run.Accuracy - other.Run.Accuracy),
        ];
        return differences.Length < 2 || Array.Exists(differences, double.IsNaN)
            ? null : Estimate.OfMean(differences, new DeterministicRandom(seed, ulong.MaxValue));
    }

    private Spread SpreadOf(Func<ClassifierRun, double> number) => Spread.Of(Runs.Select(own => number(own.Run)));
}
