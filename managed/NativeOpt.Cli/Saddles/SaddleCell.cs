namespace NativeOpt.Cli.Saddles;

/// <summary>What a rule with a dimer did on a problem.</summary>
internal sealed class SaddleCell
{
    /// <param name="problem">The problem.</param>
    /// <param name="rule">The rule.</param>
    /// <param name="dimer">The dimer.</param>
    /// <param name="runs">The runs from every start, for each learning rate.</param>
    public SaddleCell(
        SaddleProblem problem, SaddleRule rule, SaddleDimer dimer, IReadOnlyList<IReadOnlyList<SaddleRun>> runs)
    {
        (Problem, Rule, Dimer, Runs) = (problem, rule, dimer, runs);

        // By the median; where it is the same, as where all are infinite, by how bad it can get. Then the smaller rate.
        Best = runs.MinBy(static ofRate => (
            Median(ofRate),
            ofRate.Count(static run => run.Outcome != SaddleOutcome.Left),
            ofRate.Count(static run => run.Outcome == SaddleOutcome.Diverged),
            ofRate.Max(static run => run.Cost)))!;
    }

    public SaddleProblem Problem { get; }

    public SaddleRule Rule { get; }

    public SaddleDimer Dimer { get; }

    /// <summary>The runs from every start, for each learning rate.</summary>
    public IReadOnlyList<IReadOnlyList<SaddleRun>> Runs { get; }

    /// <summary>The runs at the best learning rate.</summary>
    public IReadOnlyList<SaddleRun> Best { get; }

    /// <summary>The best learning rate.</summary>
    public double LearningRate => Best[0].LearningRate;

    /// <summary>The median of the gradients it took to leave; infinite if half of the runs did not.</summary>
    public double Cost => Median(Best);

    public double SmallestCost => Best.Min(static run => run.Cost);

    public double LargestCost => Best.Max(static run => run.Cost);

    /// <summary>How most runs ended.</summary>
    public SaddleOutcome Outcome =>
        double.IsFinite(Cost) ? SaddleOutcome.Left
            : Best.Count(static run => run.Outcome == SaddleOutcome.Diverged)
                > Best.Count(static run => run.Outcome == SaddleOutcome.NotWithin)
            ? SaddleOutcome.Diverged : SaddleOutcome.NotWithin;

    /// <summary>How the worst run ended.</summary>
    public SaddleOutcome WorstOutcome => Best.Max(static run => run.Outcome);

    private static double Median(IReadOnlyList<SaddleRun> runs)
    {
        double[] costs = [.. runs.Select(static run => run.Cost).Order()];
        return (costs[(costs.Length - 1) / 2] + costs[costs.Length / 2]) / 2;
    }
}
