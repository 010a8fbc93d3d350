using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Devices;

public class DeviceTests
{
    [Theory]
    [InlineData("cpu", Backend.Cpu, 0, "cpu")]
    [InlineData("cuda", Backend.Cuda, 0, "cuda:0")]
    [InlineData("cuda:0", Backend.Cuda, 0, "cuda:0")]
    [InlineData("cuda:17", Backend.Cuda, 17, "cuda:17")]
    public void Parses(string text, Backend backend, int index, string canonical)
    {
        Device device = Device.Parse(text);
        Assert.Equal((backend, index, canonical), (device.Backend, device.Index, device.ToString()));
        Assert.True(Device.TryParse(text, out Device again));
        Assert.Equal(device, again);
        Assert.Equal(device, Device.Parse(device.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("gpu")]
    [InlineData("CPU")]
    [InlineData(" cpu")]
    [InlineData("cpu:0")]
    [InlineData("cuda:")]
    [InlineData("cuda:-1")]
    [InlineData("cuda:+1")]
    [InlineData("cuda: 1")]
    [InlineData("cuda:1.0")]
    [InlineData("cuda:99999999999")]
    public void Refuses(string text)
    {
        Assert.False(Device.TryParse(text, out Device device));
        Assert.Equal(Device.Cpu, device);
        Assert.Contains("\"cuda:N\"", Assert.Throws<FormatException>(() => Device.Parse(text)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_null_and_negative_indices()
    {
        Assert.False(Device.TryParse(null, out _));
        Assert.Throws<ArgumentNullException>(() => Device.Parse(null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.Cuda(-1));
    }

    [Fact]
    public void The_default_is_the_cpu()
    {
        Assert.Equal(Device.Cpu, default);
        Assert.NotEqual(Device.Cpu, Device.Cuda());
        Assert.NotEqual(Device.Cuda(0), Device.Cuda(1));
    }

    [Fact]
    public void Describes_the_cpu()
    {
        DeviceInfo info = Device.Cpu.GetInfo();
        Assert.Equal(Device.Cpu, info.Device);
        Assert.StartsWith("CPU", info.Name, StringComparison.Ordinal);
        Assert.True(info.ProcessorCount >= 1);
        Assert.Null(info.ComputeCapability);
        Assert.True(info.MemoryBytes is null or > 1 << 20);
        Assert.Equal(1, Device.Count(Backend.Cpu));
    }

    [Fact]
    public void Gives_cuda_devices_or_a_reason()
    {
        bool any = Device.TryGetCudaDevices(out IReadOnlyList<Device> devices, out string? reason);
        Assert.Equal(Device.Count(Backend.Cuda), devices.Count);
        Assert.Equal(any, devices.Count > 0);
        Assert.Equal(any, reason is null);
        Assert.True(any || reason!.Length > 10, reason);
        Assert.All(devices, device => Assert.NotNull(device.GetInfo().ComputeCapability));
    }

    [SkippableFact]
    public void Says_why_there_is_no_cuda_device()
    {
        Skip.If(Device.TryGetCudaDevices(out _, out string? reason), "There is a CUDA device.");
        Action[] uses =
        [
            () => Device.Cuda().GetInfo(),
            () => _ = new DeviceBuffer<float>(Device.Cuda(), 1),
            () => _ = new ParameterSet([TensorRef.FromPointer(64, 1, Device.Cuda())]),
            () => DeviceStream.Create(Device.Cuda()),
            () => DeviceStream.Default.Synchronize(Device.Cuda()),
        ];
        Assert.All(uses, use =>
        {
            NativeOptException exception = Assert.Throws<NativeOptException>(use);
            Assert.Equal((NativeOptStatus.Unavailable, reason), (exception.Status, exception.Message));
        });
    }

    [Fact]
    public void Refuses_devices_that_do_not_exist()
    {
        Assert.Throws<ArgumentException>(() => Device.Count((Backend)7));
        if (Device.Count(Backend.Cuda) > 0)
        {
            Assert.Throws<ArgumentException>(() => Device.Cuda(999).GetInfo());
        }
    }

    [Fact]
    public void Describes_the_library()
    {
        Assert.Matches(@"^\d+\.\d+\.\d+", NativeRuntime.Version);
        Assert.Contains("cpu:", NativeRuntime.BuildInfo, StringComparison.Ordinal);
        Assert.True(File.Exists(NativeRuntime.LoadedFrom));
        Assert.Contains("dualadam", NativeRuntime.Rules);
        Assert.Equal("baseline", NativeRuntime.CpuInstructionSets[0].Name);
        Assert.True(NativeRuntime.CpuInstructionSets[0].IsSupported);
        Assert.Single(NativeRuntime.CpuInstructionSets, set => set.IsSelected);
        Assert.Throws<ArgumentNullException>(() => NativeRuntime.CpuInstructionSet = null!);
        Assert.Contains(
            "baseline",
            Assert.Throws<ArgumentException>(() => NativeRuntime.CpuInstructionSet = "vax").Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => NativeRuntime.CpuThreads = 0);
        Assert.Throws<ArgumentException>(() => NativeRuntime.CpuThreads = 1025);
        Assert.InRange(NativeRuntime.CpuCount, 1, 1 << 20);
        Assert.InRange(NativeRuntime.CpuQuota, double.Epsilon, double.PositiveInfinity);
    }

    /// <summary>Begins with no more threads than the affinity mask has processors, in a process of its own.</summary>
    [SkippableFact]
    public void Threads_follow_the_affinity_mask()
    {
        Skip.IfNot(File.Exists("/usr/bin/taskset"), "There is no taskset.");
        const string Processor = "Cpus_allowed_list:";
        string allowed = File.ReadLines("/proc/self/status").Single(
            static line => line.StartsWith(Processor, StringComparison.Ordinal))[Processor.Length..].Trim();
        string first = allowed.Split(',', '-')[0];
        (int exitCode, string output) = ChildProcess.Run(
            "/usr/bin/taskset", ["-c", first, ChildProcess.DotNet, "exec", ChildProcess.TestAssembly, "threads"],
            ("NATIVEOPT_NUM_THREADS", null));
        Assert.Equal((0, "1 of 1"), (exitCode, output.Trim()));
    }

    [SkippableFact]
    public void Instruction_sets_that_the_processor_lacks_are_refused()
    {
        CpuInstructionSetInfo? lacking = NativeRuntime.CpuInstructionSets.FirstOrDefault(set => !set.IsSupported);
        Skip.If(lacking is null, "The processor supports all instruction sets.");
        string before = NativeRuntime.CpuInstructionSet;
        NativeOptException exception =
            Assert.Throws<NativeOptException>(() => NativeRuntime.CpuInstructionSet = lacking.Name);
        Assert.Equal(NativeOptStatus.Unavailable, exception.Status);
        Assert.Contains(lacking.Name, exception.Message, StringComparison.Ordinal);
        Assert.Equal(before, NativeRuntime.CpuInstructionSet);
    }

    [Fact]
    public void The_cpu_has_the_default_stream_only()
    {
        using DeviceStream stream = DeviceStream.Create(Device.Cpu);
        Assert.Equal(0, stream.Pointer);
        stream.Synchronize(Device.Cpu);
        Assert.Throws<ArgumentException>(() => DeviceStream.PerThread.Synchronize(Device.Cpu));
        Assert.Throws<ArgumentException>(() => DeviceStream.FromPointer(64).Synchronize(Device.Cpu));
        DeviceStream.FromPointer(0).Synchronize(Device.Cpu);
    }

    [Fact]
    public void Streams_are_compared_and_disposed_of()
    {
        Assert.True(DeviceStream.Default == default);
        Assert.True(DeviceStream.PerThread != DeviceStream.Default);
        Assert.Equal(DeviceStream.FromPointer(64), DeviceStream.FromPointer(64));
        Assert.Equal(64, DeviceStream.FromPointer(64).Pointer);
        DeviceStream stream = DeviceStream.Create(Device.Cpu);
        DeviceStream copy = stream;
        Assert.Equal(stream, copy);
        stream.Dispose();
        stream.Dispose();
        Assert.Throws<ObjectDisposedException>(() => copy.Pointer);
        Assert.Throws<ObjectDisposedException>(() => copy.Synchronize(Device.Cpu));
        DeviceStream.Default.Dispose();
        DeviceStream.Default.Synchronize(Device.Cpu);
    }
}
