using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using NativeOpt.Cli.Memory;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Shapes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt info</c>.</summary>
internal sealed class InfoCommand : Command, IHaveExamples
{
    private readonly Option<ModelShape?> _memory = new("--memory")
    {
        Description = "Show instead the device memory that optimizers take for the tensors of a model: "
            + $"{string.Join(", ", ModelShape.KnownNames)}, or {ModelShape.Syntax}. One line for each of the usual "
            + "configurations, or, with any of the options below, one for each buffer of that one.",
        HelpName = "SHAPE",
        CustomParser = static result =>
        {
            ModelShape? shape = ModelShape.TryParse(result.Tokens[0].Value);
            if (shape is null)
            {
                CommonOptions.Refuse(
                    result, $"write one of {string.Join(", ", ModelShape.KnownNames)}, or {ModelShape.Syntax}; {ModelShape.Bounds}");
            }

            return shape;
        },
    };

    private readonly Option<string[]?> _describe = new("--rules")
    {
        Description = "Describe update rules instead, all of them or those that are named, separated by commas: equations, source, "
            + "hyperparameters, flags, states and inputs.",
        HelpName = "NAME,…",
        Arity = ArgumentArity.ZeroOrOne,
        CustomParser = static result => CommonOptions.ReadNames(
            result, Rule.All, static rule => rule.Name)?.Select(static rule => rule.Name).ToArray(),
    };

    private readonly Option<OptimizerPreset?> _rule = CommonOptions.Choice<OptimizerPreset?>(
        "--rule", $"Of --memory: the optimizer. Default: {OptimizerPresets.Usual}.",
        static () => [.. OptimizerPresets.All.Select(static preset => (preset.Name, (OptimizerPreset?)preset))]);

    // One for each option of any rule that gives it other states.
    private readonly (Option<bool> Option, string Selector)[] _selectors =
    [
        .. Library.Ask(static () => Rule.All)
            .SelectMany(static rule => StateSelector.Of(rule).Select(own => (own.Name, own.Meaning, Rule: rule.Name)))
            .GroupBy(static one => one.Name)
            .Select(static same => (
                new Option<bool>($"--{same.Key.Replace('_', '-')}")
                {
                    Description = $"Of --memory: with {same.Key.Replace('_', ' ')}; for "
                        + $"{string.Join(", ", same.Select(static one => one.Rule))}. {same.First().Meaning}",
                },
                same.Key)),
    ];

    private readonly Option<DimerOptions?> _dimer = CommonOptions.Dimer(
        "Of --memory: a dimer around it, with the paper's settings, or with the optimal angle, which needs one more buffer.");

    private readonly Option<DType?> _dtype = CommonOptions.ParameterType("Of --memory: ");

    private readonly Option<MasterWeights?> _master = CommonOptions.Master(
        "Of --memory: what is kept of parameters of 16 bits beyond these. Default: none.");

    private readonly Option<DType?> _stateType = CommonOptions.StateType("Of --memory: ");

    private readonly Option<int?> _minDynamic8ElementCount = CommonOptions.MinDynamic8ElementCount("Of --memory: ");

    private readonly Option<bool> _json = CommonOptions.Json("everything");

    public InfoCommand(TextWriter output, TextWriter error)
        : base(
            "info",
            "Show versions, the native library, its instruction sets and devices; or what its update rules are; or the memory that "
            + "optimizers take.")
    {
        Option[] configuration =
            [_rule, .. _selectors.Select(static one => one.Option), _dimer, _dtype, _master, _stateType, _minDynamic8ElementCount];
        Option[] options = [_describe, _memory, .. configuration, _json];
        foreach (Option option in options)
        {
            Add(option);
        }

        SetAction(parsed =>
        {
            var terminal = new Terminal(output, error, parsed.GetValue(_json));
            bool isConfigured = configuration.Any(option => parsed.GetResult(option) is { Implicit: false });
            bool isDescribed = parsed.GetResult(_describe) is not null;
            if (isDescribed && (isConfigured || parsed.GetValue(_memory) is not null))
            {
                throw new UsageException("--rules: it describes rules alone; leave it out, or leave out --memory and its options.");
            }

            if (isDescribed)
            {
                string[] names = parsed.GetValue(_describe) is { Length: > 0 } chosen ? chosen : [.. NativeRuntime.Rules];
                new RuleView(terminal).Show([.. names.Select(Rule.Get)]);
                return ExitCode.Success;
            }

            if (parsed.GetValue(_memory) is { } shape)
            {
                ShowMemory(shape, isConfigured ? Configuration(parsed) : null, terminal);
                return ExitCode.Success;
            }

            if (isConfigured)
            {
                throw new UsageException(
                    $"{string.Join(", ", configuration.Select(static option => option.Name))}: these are of --memory; name a "
                    + "shape with it, or leave them out.");
            }

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
          nativeopt info --rules
          nativeopt info --rules dualadam,sgd
          nativeopt info --memory gpt2
          nativeopt info --memory resnet50 --rule adamw --dtype bfloat16 --master remainder --state-dtype bfloat16
          nativeopt info --memory gpt2 --state-dtype dynamic8
          nativeopt info --memory 100x4096,1x1000000 --rule sgd --momentum --dimer recommended

        """;

    private MemoryConfiguration Configuration(ParseResult parsed)
    {
        (DType stateType, long? minDynamic8ElementCount) =
            CommonOptions.States(parsed, _stateType, _minDynamic8ElementCount);
        OptimizerPreset preset = parsed.GetValue(_rule) ?? OptimizerPresets.Find(OptimizerPresets.Usual)!;
        var configuration = new MemoryConfiguration(Selected(parsed, preset))
        {
            Dimer = parsed.GetValue(_dimer),
            DType = parsed.GetValue(_dtype) ?? DType.Float32,
            MasterWeights = parsed.GetValue(_master) ?? MasterWeights.None,
            StateType = stateType,
            MinDynamic8ElementCount = minDynamic8ElementCount,
        };
        string? problem = configuration switch
        {
            { DType: DType.Float32, MasterWeights: not MasterWeights.None } =>
                "--master: float32 parameters lack no bits; use --dtype bfloat16 or float16, or leave the option out",
            { DType: DType.Float16, MasterWeights: MasterWeights.Remainder } =>
                "--master remainder: only bfloat16 parameters have a remainder; use --master float32, or --dtype bfloat16",
            _ => null,
        };
        if (problem is not null)
        {
            throw new UsageException(problem + ".");
        }

        configuration.Preset.RequireStateType(stateType);
        return configuration;
    }

    // The options that give the rule other states, turned on.
    private OptimizerPreset Selected(ParseResult parsed, OptimizerPreset preset)
    {
        foreach ((Option<bool> option, string name) in _selectors.Where(one => parsed.GetValue(one.Option)))
        {
            StateSelector? selector = StateSelector.Of(preset.Rule).FirstOrDefault(own => own.Name == name);
            if (selector is null)
            {
                string[] others =
                [
                    .. OptimizerPresets.All.Where(other => StateSelector.Of(other.Rule).Any(own => own.Name == name))
                        .Select(static other => other.Name),
                ];
                throw new UsageException(
                    $"{option.Name}: {preset.Name} has no such option; leave it out, or use --rule {string.Join(" or ", others)}.");
            }

            preset = selector.TurnOn(preset);
        }

        return preset;
    }

    private static void ShowMemory(ModelShape shape, MemoryConfiguration? one, Terminal terminal)
    {
        var view = new MemoryView(terminal);
        if (terminal.IsJson)
        {
            terminal.WriteJson(MemoryView.Summary(shape, one is null ? MemoryConfiguration.Usual : [one]));
        }
        else if (one is null)
        {
            view.ShowTable(shape, MemoryConfiguration.Usual);
        }
        else
        {
            view.ShowBuffers(shape, one);
        }
    }

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
                NativeRuntime.CpuCount,
                NativeRuntime.CpuQuota,
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
        Row("processors", info.Cpu.Processors.ToString(CultureInfo.InvariantCulture));
        Row("quota", double.IsFinite(info.Cpu.Quota)
            ? string.Create(CultureInfo.InvariantCulture, $"{info.Cpu.Quota:0.###} processors, by control groups")
            : "none");
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

    // A quota that is not there is infinite, and null in the document.
    private sealed record CpuInfo(
        string Name, int Processors, double Quota, int Threads, string InstructionSet, InstructionSet[] InstructionSets);

    private sealed record InstructionSet(string Name, bool Supported, bool Selected);

    private sealed record CudaInfo(GpuInfo[] Devices, string? Reason);

    private sealed record GpuInfo(
        string Device, string Name, string? ComputeCapability, int Multiprocessors, long? MemoryBytes);
}
