using NativeOpt.Cli.Deo;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Deo;

/// <summary>Numbers of runs that were made by hand.</summary>
public sealed class DeoComparisonTests
{
    private static readonly OptimizerPreset _rule = DeoPlan.Suited(OptimizerPresets.Find("sgd")!);

    [Fact]
    public void Losses_are_those_that_a_number_of_gradients_allows()
    {
        DeoRun run = Run(spikes: 0, loss: 1) with
        {
            Losses = [9, 8, 7, 6, 5, 4, 3, 2],
            Evaluations = [0, 1, 2, 3, 5, 6, 7, 8],
            GradientEvaluations = 9,
            Validations = [new DeoValidation(0, 9.5), new DeoValidation(5, 5.5), new DeoValidation(9, 1.5)],
        };
        Assert.Equal((4, 1.5), (run.TrainLoss, run.ValidationLoss)); // the mean of the last 5 losses
        Assert.Equal((6, 5.5), (run.TrainLossAfter(7), run.ValidationLossAfter(7)));
        Assert.Equal((8, 9.5), (run.TrainLossAfter(2.5), run.ValidationLossAfter(2.5)));
        Assert.Equal(double.NaN, (run with { End = TrainingEnd.Diverged }).TrainLoss);
        Assert.Equal(250, (run with { Spikes = [1, 5] }).SpikeRate);
    }

    [Fact]
    public void Pairs_of_one_rate_and_seed_are_compared()
    {
        DeoComparison own = Assert.Single(Results(
            (DeoVariant.None, 0.1, 1, Run(4, 2.0)), (DeoVariant.Dimers[0], 0.1, 1, Run(1, 2.5)),
            (DeoVariant.None, 0.1, 2, Run(2, 2.2)), (DeoVariant.Dimers[0], 0.1, 2, Run(2, 2.4)),
            (DeoVariant.None, 0.2, 1, Run(0, 1.0)), (DeoVariant.Dimers[0], 0.2, 1, Run(3, double.NaN)),
            (DeoVariant.None, 0.2, 2, Run(0, 1.0))).Comparisons);
        Assert.Equal((3, 1, 0), (own.Pairs, own.FewerSpikes, own.MoreSpikes));
        Assert.Equal(-15, own.SpikeRate.Value, 1e-12); // −3 and 0 in 100 steps, of the two pairs that did not diverge
        Assert.Equal(0.35, own.ValidationLoss.Value, 1e-12); // of the same
        Assert.Equal((0, 1), (own.DivergedAlone, own.DivergedWith));

        // Of losses that fall by 0.01 a step, 10 steps of 100 are the whole difference.
        float[] falling = [.. Enumerable.Range(0, 100).Select(static step => 5 - (0.01f * step))];
        DeoComparison shorter = Assert.Single(Results(
            (DeoVariant.None, 0.1, 1, Run(0, 4) with { Losses = falling }),
            (DeoVariant.Dimers[0], 0.1, 1, Run(0, 4) with { Losses = falling[..90], Evaluations = [.. Enumerable.Range(0, 90).Select(static i => (long)i)] }))
            .Comparisons);
        Assert.Equal(0.1, shorter.TrainLoss.Value, 0.01);
        Assert.Equal(0, shorter.TrainLossOfEqualSteps.Value, 1e-12);

        // The rate of 0.2 is better, but a run with the dimer diverged there.
        Assert.Equal((0.2, 0.1), (own.BestAlone!.LearningRate, own.BestWith!.LearningRate));
        Assert.Equal(new Spread(2.45, 0.1 / Math.Sqrt(2)).Mean, own.BestWith.ValidationLoss.Mean, 1e-12);
        Assert.Equal(0.1 / Math.Sqrt(2), own.BestWith.ValidationLoss.StandardDeviation, 1e-12);
    }

    [Fact]
    public void Runs_that_are_missing_are_left_out()
    {
        Assert.Empty(Results((DeoVariant.None, 0.1, 1, Run(4, 2.0))).Comparisons);
        Assert.Single(Results((DeoVariant.None, 0.1, 1, Run(4, 2.0))).Cells);
        Assert.Equal([DeoFiles.Table], DeoFiles.Of(Results((DeoVariant.None, 0.1, 1, Run(4, 2.0)))).Select(static file => file.Name).Take(1));
        Assert.Empty(DeoFiles.Of(Results()));
    }

    [Fact]
    public void Intervals_hold_the_mean_and_nothing_has_none()
    {
        Estimate same = DeoComparison.MeanOf([2, 2, 2]);
        Assert.Equal((2.0, 2.0, 2.0), (same.Value, same.Low, same.High));
        Estimate wide = DeoComparison.MeanOf([0, 1, 2, 3, 4]);
        Assert.Equal(2, wide.Value);
        Assert.InRange(wide.Low, 0.5, 1.2);
        Assert.InRange(wide.High, 2.8, 3.5);
        Assert.Equal(double.NaN, DeoComparison.MeanOf([]).Value);
    }

    [Fact]
    public void Sophia_has_the_scale_of_its_estimates()
    {
        Assert.Equal(0.05, DeoPlan.Suited(OptimizerPresets.Find("sophia")!)["gamma"]);
        Assert.Equal(0.9, _rule["momentum"]);
    }

    private static DeoResults Results(params (DeoVariant Variant, double Rate, int Seed, DeoRun Run)[] runs) => new(
        new DeoPlan
        {
            Shape = DeoShape.All[0],
            Model = GptConfig.Tiny(10),
            Rules = [_rule],
            Variants = [DeoVariant.None, DeoVariant.Dimers[0]],
            LearningRates = [0.1, 0.2],
            Seeds = 2,
            Gradients = 100,
        },
        runs.ToDictionary(own => new DeoJob(_rule, own.Variant, own.Rate, own.Seed), static own => own.Run));

    private static DeoRun Run(int spikes, double loss) => new(
        double.IsNaN(loss) ? TrainingEnd.Diverged : TrainingEnd.Completed,
        [.. Enumerable.Repeat((float)loss, 100)],
        [.. Enumerable.Range(0, 100).Select(static step => (long)step)],
        100,
        [new DeoValidation(100, loss)],
        [.. Enumerable.Range(0, spikes)],
        0,
        1);
}
