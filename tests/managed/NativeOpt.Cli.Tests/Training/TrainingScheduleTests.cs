using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>The learning rate rises to its peak and falls to a tenth of it.</summary>
public sealed class TrainingScheduleTests
{
    [Fact]
    public void LearningRateWarmsUpAndDecays()
    {
        var schedule = new TrainingSchedule(Steps: 110, BatchSize: 1, PeakLearningRate: 2, WarmupSteps: 10);
        Assert.Equal(0.2, schedule.LearningRate(0), 1e-12);
        Assert.Equal(2, schedule.LearningRate(9), 1e-12);
        Assert.Equal(2, schedule.LearningRate(10), 1e-12);
        Assert.Equal(1.1, schedule.LearningRate(60), 1e-12);
        Assert.Equal(0.2, schedule.LearningRate(110), 1e-12);
        Assert.Equal(0.2, schedule.LearningRate(1000), 1e-12);
        for (int step = 10; step < 109; step++)
        {
            Assert.True(schedule.LearningRate(step) > schedule.LearningRate(step + 1));
        }
    }

    [Fact]
    public void A_final_fraction_of_1_stays_at_the_peak()
    {
        TrainingSchedule schedule = new(Steps: 110, BatchSize: 1, PeakLearningRate: 2, WarmupSteps: 10) { FinalFraction = 1 };
        Assert.Equal(1, schedule.LearningRate(4), 1e-12);
        Assert.All([10, 60, 109], step => Assert.Equal(2, schedule.LearningRate(step), 1e-12));
    }

    [Fact]
    public void DegenerateSchedulesStayFinite()
    {
        Assert.Equal(1, new TrainingSchedule(5, 1, 1, 0).LearningRate(0), 1e-12);
        Assert.True(double.IsFinite(new TrainingSchedule(5, 1, 1, 5).LearningRate(5)));
    }
}
