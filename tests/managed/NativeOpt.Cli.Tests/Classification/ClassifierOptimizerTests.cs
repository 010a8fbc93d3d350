using NativeOpt.Cli.Classification;
using NativeOpt.Cli.Optimizers;
using Xunit;

namespace NativeOpt.Cli.Tests.Classification;

/// <summary>What goes with the length of a run.</summary>
public sealed class ClassifierOptimizerTests
{
    private const long Steps = 1600;

    [Fact]
    public void Every_rule_can_be_compared_and_those_of_table_one_are_there()
    {
        Assert.Equal(OptimizerPresets.Names, ClassifierOptimizer.All.Select(static own => own.Name));
        Assert.Subset(
            ClassifierOptimizer.All.Select(static own => own.Name).ToHashSet(), ClassifierOptimizer.TableOne.ToHashSet());
        Assert.Equal("swats", Assert.Single(ClassifierOptimizer.All, static own => own.Switches).Name);
    }

    [Fact]
    public void Switching_goes_with_the_length_of_a_run()
    {
        Assert.Equal(4.0 / Steps, Scaled(Named("dualadam"))[OptimizerPresets.SwitchingRate]);
        Assert.Equal(Math.Round(Steps * 20 / 150.0), Scaled(Named("miadam"))["switch_step"]);
        Assert.Equal(
            [0, 1.0 / Steps, 2.0 / Steps, 4.0 / Steps, 8.0 / Steps, 16.0 / Steps, 32.0 / Steps, 8e-5],
            ClassifierOptimizer.SwitchingRates.Select(static own => Scaled(own)[OptimizerPresets.SwitchingRate]));
    }

    [Fact]
    public void Schedules_give_the_inverse_part_the_same_total_weight()
    {
        double[] totals = [.. ClassifierOptimizer.Schedules.Select(static own => TotalWeight(Scaled(own)))];
        Assert.Equal(3, totals.Length);
        Assert.All(totals, static total => Assert.Equal(Steps / 8.0, total, 0.01 * Steps / 8));

        static double TotalWeight(OptimizerPreset preset) => Enumerable.Range(1, (int)Steps).Sum(t => preset["schedule"] switch
        {
            (double)InverseWeightSchedule.Linear => Math.Max(0, 1 - (preset[OptimizerPresets.SwitchingRate] * t)),
            (double)InverseWeightSchedule.Exponential => Math.Pow(preset["base"], Math.Floor((t - 1) / preset["steps_per_epoch"])),
            (double)InverseWeightSchedule.Fixed => t <= preset["switch_step"] ? 1 : 0,
            var other => throw new InvalidOperationException($"schedule {other}"),
        });
    }

    [Theory]
    [InlineData(RateSchedule.Cosine, 0, 1)]
    [InlineData(RateSchedule.Cosine, 50, 0.5005)]
    [InlineData(RateSchedule.Step, 49, 1)]
    [InlineData(RateSchedule.Step, 50, 0.1)]
    [InlineData(RateSchedule.Step, 74, 0.1)]
    [InlineData(RateSchedule.Step, 75, 0.01)]
    [InlineData(RateSchedule.Constant, 99, 1)]
    internal void Learning_rates_fall_as_the_schedule_says(RateSchedule schedule, int step, double part) =>
        Assert.Equal(0.2 * part, schedule.At(0.2, step, 100), 12);

    private static ClassifierOptimizer Named(string name) => ClassifierOptimizer.All.Single(own => own.Name == name);

    private static OptimizerPreset Scaled(ClassifierOptimizer optimizer) => optimizer.ScaleToRun(optimizer.Preset, Steps);
}
