namespace NativeOpt.Cli.Selftest;

/// <summary>What runs a model's steps: a GPU, or the CPU with one instruction set and number of threads.</summary>
/// <param name="Device">The device.</param>
/// <param name="InstructionSet">The CPU's instruction set.</param>
/// <param name="Threads">The CPU's threads.</param>
internal sealed record SelftestSetting(Device Device, string InstructionSet = "", int Threads = 0)
{
    /// <summary>The CPU as this process has it.</summary>
    public static SelftestSetting CurrentCpu => new(Device.Cpu, NativeRuntime.CpuInstructionSet, NativeRuntime.CpuThreads);

    public string Name =>
        Device.Backend != Backend.Cpu ? Device.ToString()
            : $"{InstructionSet}, {Threads} {(Threads == 1 ? "thread" : "threads")}";

    /// <summary>What the results are compared with: the CPU as it is, and for the CPU its most portable kernels.</summary>
    public static SelftestSetting ReferenceFor(Device device) =>
        device.Backend != Backend.Cpu ? CurrentCpu
            : new SelftestSetting(Device.Cpu, NativeRuntime.CpuInstructionSets[0].Name, 1);

    /// <summary>What is tested: the GPU, or all other settings of the CPU.</summary>
    public static IReadOnlyList<SelftestSetting> TestedOn(Device device)
    {
        if (device.Backend != Backend.Cpu)
        {
            return [new SelftestSetting(device)];
        }

        int[] threads = [.. new[] { 1, 2, NativeRuntime.CpuThreads }.Distinct()];
        return
        [
            .. NativeRuntime.CpuInstructionSets.Where(static set => set.IsSupported)
                .SelectMany(set => threads.Select(count => new SelftestSetting(Device.Cpu, set.Name, count)))
                .Where(setting => setting != ReferenceFor(device)),
        ];
    }

    /// <summary>Makes later CPU steps of the process run so; a GPU needs nothing.</summary>
    public void Select()
    {
        if (Device.Backend == Backend.Cpu)
        {
            NativeRuntime.CpuInstructionSet = InstructionSet;
            NativeRuntime.CpuThreads = Threads;
        }
    }
}
