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
}
