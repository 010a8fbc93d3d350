using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>The step path makes no garbage.</summary>
public class AllocationTests
{
    private const int WarmUp = 20;
    private const int Steps = 500;

    public static TheoryData<string> Names => Rules.OptimizerNames;

    [Theory]
    [MemberData(nameof(Names))]
    public void Steps_allocate_nothing(string name)
    {
        using DeviceBuffer<float> gradients = new(Device.Cpu, 300);
        using Model model = new(17, 0, 101);
        using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
        nint address = gradients.Pointer;
        TensorRef whole = gradients;
        long before = 0;
        for (int step = -WarmUp; step < Steps; step++)
        {
            if (step == 0)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            // New addresses every time, as frameworks give them; and a schedule.
            nint moved = address + (4 * (step & 1));
            model.Set.SetGradients([moved, 0, moved + 400]);
            optimizer.LearningRate = 1e-3 / (step + WarmUp + 1);
            optimizer.Step();
            model.Set.SetGradients(
            [
                whole with { ElementCount = 17 },
                whole with { ElementCount = 0 },
                whole with { ElementCount = 101, Pointer = moved },
            ]);
            optimizer.Step(DeviceStream.Default);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(2 * (WarmUp + Steps), optimizer.StepCount);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Steps_of_groups_allocate_nothing(string name)
    {
        using GroupedModel model = GroupedModel.Of(name);
        Optimizer optimizer = model.Optimizer;
        optimizer.GradientOptions = new GradientOptions { MaxNorm = 1 };
        long before = 0;
        for (int step = -WarmUp; step < Steps; step++)
        {
            if (step == 0)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            optimizer.Groups[2].LearningRate = 1e-3 / (step + WarmUp + 1);
            optimizer.Groups[1].WeightDecay = 1e-3 / (step + WarmUp + 1);
            optimizer.Step();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.All(optimizer.Groups, static group => Assert.Equal(WarmUp + Steps, group.StepCount));
    }

    /// <summary>Capturable ones neither, nor dimers around them.</summary>
    [Fact]
    public void Dimer_steps_of_groups_allocate_nothing()
    {
        using Model model = new([7, 5], [new(), new() { Group = 1 }]);
        using Adam optimizer = new(model.Set, [new(), new() { LearningRate = 0.01 }]);
        optimizer.SetCapturable(true);
        using DimerOptimizer dimer = new(
            optimizer, new DimerOptions { Interval = 3, Angle = RotationAngle.Optimal, Displacement = 0.1 });
        Func<float> closure = static () => 1;
        long before = 0;
        for (int step = -WarmUp; step < Steps; step++)
        {
            if (step == 0)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            optimizer.Groups[1].SetLearningRate(1e-3 / (step + WarmUp + 1));
            dimer.Step(closure);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(WarmUp + Steps, optimizer.Groups[1].StepCount);
    }

    /// <summary>A dimer's neither, with a closure that is made once; in all of its calls, and whatever the angle.</summary>
    [Theory]
    [InlineData(RotationAngle.FixedRate, DimerScope.Global)]
    [InlineData(RotationAngle.Optimal, DimerScope.PerTensor)]
    [InlineData(RotationAngle.Conjugate, DimerScope.Global)]
    public void Dimer_steps_allocate_nothing(RotationAngle angle, DimerScope scope)
    {
        using DimerSetup setup = new(
            new DimerOptions { Interval = 3, RotationsPerUpdate = 2, Angle = angle, Scope = scope, Displacement = 0.1 });
        DimerOptimizer dimer = setup.Dimer;
        double sum = 0;
        long before = 0;
        for (int step = -WarmUp; step < Steps; step++)
        {
            if (step == 0)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            setup.Optimizer.LearningRate = 1e-3 / (step + WarmUp + 1);
            dimer.Step(setup.Loss.Closure);
            sum += dimer.GetStatus().GradientDotDirection + dimer.GetStatus(dimer.ScopeCount - 1).Angle;
            setup.Loss.Closure();
            bool givesUp = step % 7 == 0;
            for (int i = 0; i < 3 && dimer.NeedsDisplacedGradient; i++)
            {
                dimer.Displace(DeviceStream.Default);
                setup.Loss.Closure();
                if (givesUp)
                {
                    dimer.Restore();
                    setup.Loss.Closure();
                }
            }

            dimer.Step(DeviceStream.Default);
            sum += dimer.GradientEvaluations + dimer.GetDirection(0).ElementCount;
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(2 * (WarmUp + Steps), dimer.StepCount);
        Assert.True(double.IsFinite(sum));
    }
}
