using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

public class ScheduleTests
{
    [Fact]
    public void The_learning_rate_rises_to_its_peak_and_falls_to_its_end()
    {
        LearningRateSchedule schedule = new(peak: 2, steps: 110, warmupSteps: 10, final: 0.5);
        Assert.Equal(0.2, schedule.At(0), 12);
        Assert.Equal(1, schedule.At(4), 12);
        Assert.Equal(2, schedule.At(9), 12);
        Assert.Equal(2, schedule.At(10), 12);
        Assert.Equal(1.25, schedule.At(60), 12);
        Assert.Equal(0.5, schedule.At(110), 12);
        Assert.Equal(0.5, schedule.At(long.MaxValue), 12);
        Assert.Equal(3, new LearningRateSchedule(3, 1).At(0));
        Assert.Equal(0, new LearningRateSchedule(3, 1).At(1), 12);
        Assert.Equal(3, new LearningRateSchedule(3, 5, 5).At(4));
    }

    /// <summary>The last step before the end, the end and what follows, of every length that is not ordinary.</summary>
    [Theory]
    [InlineData(10, 10, 1)]
    [InlineData(1, 1, 1)]
    [InlineData(1, 0, 1)]
    [InlineData(2, 1, 1)]
    [InlineData(10, 9, 1)]
    [InlineData(10, 0, 0.1 + (0.9 * 0.024471741852423234))] // (1 + cos(0.9 pi)) / 2
    [InlineData(long.MaxValue, long.MaxValue, 1)]
    [InlineData(long.MaxValue, long.MaxValue - 1, 1)]
    [InlineData(long.MaxValue, 0, 0.1)]
    public void The_final_learning_rate_is_that_of_the_end_and_of_all_that_follows(long steps, long warmupSteps, double last)
    {
        LearningRateSchedule schedule = new(1, steps, warmupSteps, 0.1);
        Assert.Equal(last, schedule.At(steps - 1), 1e-15);
        Assert.Equal(0.1, schedule.At(steps));
        Assert.Equal(0.1, schedule.At(long.MaxValue));
        Assert.Equal(warmupSteps == 0 ? 1 : 1.0 / warmupSteps, schedule.At(0), 1e-15);
    }

    [Fact]
    public void Schedules_that_make_no_sense_are_refused()
    {
        Refuse("peak", () => new LearningRateSchedule(-1, 10));
        Refuse("peak", () => new LearningRateSchedule(double.NaN, 10));
        Refuse("steps", () => new LearningRateSchedule(1, 0));
        Refuse("warmupSteps", () => new LearningRateSchedule(1, 10, -1));
        Refuse("warmupSteps", () => new LearningRateSchedule(1, 10, 11));
        Refuse("final", () => new LearningRateSchedule(1, 10, 0, 1.5));
        Refuse("final", () => new LearningRateSchedule(1, 10, 0, double.NaN));
        Refuse("step", () => new LearningRateSchedule(1, 10).At(-1));
        Refuse("step", () => new LearningRateSchedule(1, 10).At(long.MinValue));
        Refuse("steps", () => DualAdamOptions.SwitchingRateFor(0));

        static void Refuse(string name, Func<object> action) =>
            Assert.Equal(name, Assert.Throws<ArgumentOutOfRangeException>(action).ParamName);
    }

    // From the wished step on DualAdam steps like Adam, and not before.
    [Fact]
    public void The_transition_takes_as_many_steps_as_wished()
    {
        const int Wished = 7;
        using Model dualModel = new(3);
        using Model adamModel = new(3);
        using DualAdam dual = new(
            dualModel.Set, new DualAdamOptions { SwitchingRate = DualAdamOptions.SwitchingRateFor(Wished) });
        using Adam adam = new(adamModel.Set);
        for (int step = 1; step <= 10; step++)
        {
            dualModel.Parameters[0].CopyTo(adamModel.Parameters[0], 0);
            dualModel.Step(dual, step, step);
            adamModel.Step(adam, step, step);
            Assert.Equal(step >= Wished, dualModel.Parameters[0].SequenceEqual(adamModel.Parameters[0]));
        }
    }
}
