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
    /// <summary>What the tables call the optimizer.</summary>
    public string Name => Choice.Optimizer.Name;

    /// <summary>The runs that diverged.</summary>
    public int Diverged => Runs.Count(static own => own.Run.HasDiverged);

    /// <summary>The accuracy on the training images.</summary>
    public Spread TrainAccuracy => Spread.Of(Runs, static run => run.TrainAccuracy);

    /// <summary>The accuracy on the images to test with.</summary>
    public Spread TestAccuracy => Spread.Of(Runs, static run => run.Accuracy);

    /// <summary>Training accuracy less test accuracy.</summary>
    public Spread Gap => Spread.Of(Runs, static run => run.Gap);
}
