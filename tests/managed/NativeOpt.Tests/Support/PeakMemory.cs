using System.Globalization;

namespace NativeOpt.Tests.Support;

/// <summary>What a process grows by when it makes a model of some tens of MB and takes steps. Linux only.</summary>
internal static class PeakMemory
{
    // Of each tensor.
    private const int ElementCount = 6_000_000;

    public static IReadOnlyDictionary<string, PeakMemoryCase> Cases { get; } = new Dictionary<string, PeakMemoryCase>
    {
        ["sgd"] = new(DType.Float32, new SgdOptions()),
        ["adam"] = new(DType.Float32, new AdamOptions()),
        ["remainders"] = new(
            DType.BFloat16, new AdamWOptions { MasterWeights = MasterWeights.Remainder, StateType = DType.BFloat16, Amsgrad = true }),
        ["masters"] = new(DType.BFloat16, new SgdOptions { MasterWeights = MasterWeights.Float32, Momentum = 0.9 }),
        ["dynamic8"] = new(DType.Float32, new AdamOptions { StateType = DType.Dynamic8, Amsgrad = true }),
        ["dimer"] = new(DType.Float32, new AdamOptions(), DimerOptions.Recommended),
    };

    /// <summary>In a process of its own: the bytes that are announced, with parameters and gradients, and the growth.</summary>
    public static string Measure(PeakMemoryCase test)
    {
        // What the first step of a process makes for good: compiled code, threads.
        Run(test, 1000);
        GC.Collect();
        long before = Status("VmRSS");
        OptimizerMemory memory = Run(test, ElementCount);
        long announced = memory.TotalBytes + memory.ParameterBytes + memory.GradientBytes;
        return string.Create(CultureInfo.InvariantCulture, $"{announced} {Status("VmHWM") - before}");
    }

    private static OptimizerMemory Run(PeakMemoryCase test, int elementCount)
    {
        using DeviceBuffer<ushort> parameter = new(Device.Cpu, elementCount * (test.Type == DType.Float32 ? 2 : 1));
        using DeviceBuffer<ushort> gradient = new(Device.Cpu, parameter.Length);
        using ParameterSet set = new([TensorRef.FromPointer(parameter.Pointer, elementCount, test.Type)]);
        set.SetGradients([gradient.Pointer]);
        using Optimizer optimizer = Rules.Create(set, test.Options);
        if (test.Dimer is null)
        {
            optimizer.Step();
        }
        else
        {
            using DimerOptimizer dimer = new(optimizer, test.Dimer);
            dimer.Step(static () => 1);
        }

        return OptimizerMemory.Of(test.Options, [new TensorSpec(elementCount, test.Type)], test.Dimer);
    }

    private static long Status(string name)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(name + ':', StringComparison.Ordinal));
        return 1024 * long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}

/// <summary>A configuration whose memory is measured.</summary>
internal sealed record PeakMemoryCase(DType Type, OptimizerOptions Options, DimerOptions? Dimer = null);
