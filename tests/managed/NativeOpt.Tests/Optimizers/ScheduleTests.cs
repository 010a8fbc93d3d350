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
