using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Deo;

/// <summary>
/// A dimer against nothing around a rule, over all learning rates and seeds, each run with the one without a dimer: differences with,
/// minus without, after the same number of gradients.
/// </summary>
/// <param name="Rule">The rule.</param>
/// <param name="Variant">The dimer.</param>
/// <param name="Pairs">Pairs of runs.</param>
/// <param name="SpikeRate">
/// The difference of the spikes for each thousand steps, of pairs in which neither diverged: a loss that grows without bound is no series
/// of spikes, and how many its last steps would be says nothing.
/// </param>
/// <param name="FewerSpikes">Such pairs in which the dimer's run has the lower rate of spikes.</param>
/// <param name="MoreSpikes">Those in which it has the higher.</param>
/// <param name="TrainLoss">The difference of the final training losses, of pairs in which neither diverged.</param>
/// <param name="ValidationLoss">That of the final validation losses.</param>
/// <param name="TrainLossOfEqualSteps">
/// That of the training losses after as many steps as the shorter run has, of the same batches: what is left of the difference if a
/// dimer's gradients are not counted.
/// </param>
/// <param name="DivergedAlone">Runs without a dimer that diverged.</param>
/// <param name="DivergedWith">Runs with one that did.</param>
/// <param name="BestAlone">Of the learning rates at which no run diverged, that of the lowest mean validation loss; without a dimer.</param>
/// <param name="BestWith">The same with it.</param>
internal sealed record DeoComparison(
    OptimizerPreset Rule,
    DeoVariant Variant,
    int Pairs,
    Estimate SpikeRate,
    int FewerSpikes,
    int MoreSpikes,
    Estimate TrainLoss,
    Estimate ValidationLoss,
    Estimate TrainLossOfEqualSteps,
    int DivergedAlone,
    int DivergedWith,
    DeoCell? BestAlone,
    DeoCell? BestWith)
{
    private const int Draws = 2000;

    /// <summary>Compares all dimers of all rules.</summary>
    public static IReadOnlyList<DeoComparison> Of(DeoPlan plan, IReadOnlyList<DeoCell> cells) =>
    [
        .. from rule in plan.Rules
           from variant in plan.Variants
           where variant.Options is not null
           let own = Compare(
               rule,
               variant,
               [.. cells.Where(cell => cell.Rule == rule && cell.Variant.Options is null)],
               [.. cells.Where(cell => cell.Rule == rule && cell.Variant == variant)])
           where own.Pairs > 0
           select own,
    ];

    private static DeoComparison Compare(OptimizerPreset rule, DeoVariant variant, DeoCell[] alone, DeoCell[] with)
    {
        (DeoRun Alone, DeoRun With)[] pairs =
        [
            .. from one in alone
               from other in with
               where one.LearningRate == other.LearningRate
               from seed in one.Runs.Keys.Intersect(other.Runs.Keys)
               select (one.Runs[seed], other.Runs[seed]),
        ];
        (DeoRun Alone, DeoRun With)[] finite = [.. pairs.Where(static pair => !pair.Alone.HasDiverged && !pair.With.HasDiverged)];
        return new DeoComparison(
            rule,
            variant,
            pairs.Length,
            MeanOf([.. finite.Select(static pair => pair.With.SpikeRate - pair.Alone.SpikeRate)]),
            finite.Count(static pair => pair.With.SpikeRate < pair.Alone.SpikeRate),
            finite.Count(static pair => pair.With.SpikeRate > pair.Alone.SpikeRate),
            MeanOf([.. finite.Select(static pair => pair.With.TrainLoss - pair.Alone.TrainLoss)]),
            MeanOf([.. finite.Select(static pair => pair.With.ValidationLoss - pair.Alone.ValidationLoss)]),
            MeanOf([.. finite.Select(static pair => DifferenceOfEqualSteps(pair.Alone, pair.With))]),
            pairs.Count(static pair => pair.Alone.HasDiverged),
            pairs.Count(static pair => pair.With.HasDiverged),
            Best(alone),
            Best(with));
    }

    private static double DifferenceOfEqualSteps(DeoRun alone, DeoRun with)
    {
        int steps = Math.Min(alone.Steps, with.Steps);
        return with.TrainLossOf(steps) - alone.TrainLossOf(steps);
    }

    private static DeoCell? Best(DeoCell[] cells) =>
        cells.Where(static cell => cell.Runs.Count > 0 && cell.Diverged == 0).MinBy(static cell => cell.ValidationLoss.Mean);

    /// <summary>The mean of the differences of pairs, with its interval.</summary>
    public static Estimate MeanOf(double[] differences) => Estimate.OfMean(differences, new DeterministicRandom(1), Draws);
}
