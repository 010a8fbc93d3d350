using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Deo;

/// <summary>The runs of a rule with a dimer, or with none, at a learning rate.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Variant">What is around it.</param>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="Runs">The runs that are done, by their seeds.</param>
internal sealed record DeoCell(
    OptimizerPreset Rule, DeoVariant Variant, double LearningRate, IReadOnlyDictionary<int, DeoRun> Runs)
{
    /// <summary>Spikes for each thousand steps, of the runs that did not diverge.</summary>
    public Spread SpikeRate => Spread.Of(Finite.Select(static run => run.SpikeRate));

    /// <summary>Spikes of a run that did not diverge.</summary>
    public Spread Spikes => Spread.Of(Finite.Select(static run => (double)run.Spikes.Length));

    /// <summary>Final training losses of the runs that did not diverge.</summary>
    public Spread TrainLoss => Spread.Of(Finite.Select(static run => run.TrainLoss));

    /// <summary>Final validation losses of the runs that did not diverge.</summary>
    public Spread ValidationLoss => Spread.Of(Finite.Select(static run => run.ValidationLoss));

    /// <summary>Runs that diverged.</summary>
    public int Diverged => Runs.Count - Finite.Count();

    /// <summary>Seconds for each gradient, those of the optimizer included.</summary>
    public double SecondsPerGradient =>
        Runs.Values.Sum(static run => run.Seconds) / Runs.Values.Sum(static run => run.GradientEvaluations);

    private IEnumerable<DeoRun> Finite => Runs.Values.Where(static run => !run.HasDiverged);
}
