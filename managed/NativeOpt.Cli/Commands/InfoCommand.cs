using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt info</c>.</summary>
internal sealed class InfoCommand : Command, IHaveExamples
{
    private readonly Option<bool> _json = CommonOptions.Json("everything");

    public InfoCommand(TextWriter output, TextWriter error)
        : base("info", "Show versions, the native library, its instruction sets and devices.")
    {
        Add(_json);
        SetAction(parsed =>
        {
            var terminal = new Terminal(output, error, parsed.GetValue(_json));
            Info info = Collect();
            if (terminal.IsJson)
            {
                terminal.WriteJson(info);
            }
            else
            {
                terminal.People.Write(Table(info));
            }

            return ExitCode.Success;
        });
    }

    public string Examples => """
        Examples:
          nativeopt info
          nativeopt info --json

        """;

    private static Info Collect()
    {
        Device.TryGetCudaDevices(out IReadOnlyList<Device> gpus, out string? reason);
        DeviceInfo cpu = Device.Cpu.GetInfo();
        string build = NativeRuntime.BuildInfo;
        return new Info(
            CommandLine.Version,
            new LibraryInfo(NativeRuntime.Version, NativeRuntime.AbiVersion, NativeRuntime.LoadedFrom, build),
            RuntimeInformation.FrameworkDescription,
            $"{RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})",
            NativeRuntime.Rules,
            Backends(build),
            new CpuInfo(
                cpu.Name,
                NativeRuntime.CpuThreads,
                NativeRuntime.CpuInstructionSet,
                [.. NativeRuntime.CpuInstructionSets.Select(
                    static set => new InstructionSet(set.Name, set.IsSupported, set.IsSelected))]),
            new CudaInfo([.. gpus.Select(static gpu => Describe(gpu.GetInfo()))], reason));
    }

    /// <summary>The build information names each backend with what it was built for, "none" if it was left out.</summary>
    private static string[] Backends(string build) =>
        [.. build.Split(';', StringSplitOptions.TrimEntries)
            .Select(static part => part.Split(':', 2, StringSplitOptions.TrimEntries))
            .Where(static part => part is [_, not ("none" or "no" or "off" or "")])
            .Select(static part => part[0])];

    private static GpuInfo Describe(DeviceInfo gpu) => new(
        gpu.Device.ToString(), gpu.Name, gpu.ComputeCapability?.ToString(), gpu.ProcessorCount, gpu.MemoryBytes);

    private static Grid Table(Info info)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        Section("Versions");
        Row("nativeopt", info.Version);
        Row("native library", $"{info.Library.Version}, ABI {info.Library.Abi}");
        Row("loaded from", info.Library.File);
        Row("build", info.Library.Build);
        Row("backends", string.Join(", ", info.Backends));
        Row("rules", string.Join(", ", info.Rules));
        Row(".NET", info.Dotnet);
        Row("system", info.System);
        Section("CPU");
        Row("processor", info.Cpu.Name);
        Row("threads", info.Cpu.Threads.ToString(CultureInfo.InvariantCulture));
        foreach (InstructionSet set in info.Cpu.InstructionSets)
        {
            (string color, string state) = set.Selected ? ("green", "in use")
                : set.Supported ? ("default", "available")
                : ("grey", "not supported by this processor");
            Add(new Text(set.Name), new Markup($"[{color}]{state}[/]"));
        }

        Section("CUDA");
        if (info.Cuda.Reason is not null)
        {
            Row("none", info.Cuda.Reason);
        }

        foreach (GpuInfo gpu in info.Cuda.Devices)
        {
            string memory = gpu.MemoryBytes is long bytes
                ? string.Create(CultureInfo.InvariantCulture, $", {bytes / (double)(1L << 30):0.0} GiB")
                : "";
            Row(
                gpu.Device,
                $"{gpu.Name}, compute capability {gpu.ComputeCapability}, {gpu.Multiprocessors} multiprocessors{memory}");
        }

        return grid;

        void Section(string name) => grid.AddRow(new Markup($"[bold]{name}[/]"), Text.Empty);
        void Row(string name, string value) => Add(new Text(name), new Text(value));
        void Add(IRenderable name, IRenderable value) => grid.AddRow(new Padder(name, new Padding(2, 0, 0, 0)), value);
    }

    // The members of the JSON document.
    private sealed record Info(
        string Version,
        LibraryInfo Library,
        string Dotnet,
        string System,
        IReadOnlyList<string> Rules,
        string[] Backends,
        CpuInfo Cpu,
        CudaInfo Cuda);

    private sealed record LibraryInfo(string Version, int Abi, string File, string Build);

    private sealed record CpuInfo(string Name, int Threads, string InstructionSet, InstructionSet[] InstructionSets);

    private sealed record InstructionSet(string Name, bool Supported, bool Selected);

    private sealed record CudaInfo(GpuInfo[] Devices, string? Reason);

    private sealed record GpuInfo(
        string Device, string Name, string? ComputeCapability, int Multiprocessors, long? MemoryBytes);
}
