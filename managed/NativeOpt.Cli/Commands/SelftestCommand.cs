using System.CommandLine;
using NativeOpt.Cli.Selftest;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt selftest</c>.</summary>
internal sealed class SelftestCommand : Command, IHaveExamples
{
    private readonly Option<Device> _device = CommonOptions.Device();

    private readonly Option<string[]?> _rules = CommonOptions.Names(
        "--rules", "Update rules, for example adam,sgd. Default: all.", static () => NativeRuntime.Rules, static rule => rule);

    private readonly Option<SelftestShape[]?> _shapes = CommonOptions.Names(
        "--shapes",
        $"What models are like, of {string.Join(", ", SelftestShape.All.Select(static shape => shape.Name))}. Default: all.",
        static () => SelftestShape.All,
        static shape => shape.Name);

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed", "Selects the numbers and the random shapes. Default: 1.", 0);

    private readonly Option<bool> _quick = new("--quick")
    {
        Description = "Fewer and smaller cases, for slow devices.",
    };

    private readonly Option<bool> _json = CommonOptions.Json("every case");

    public SelftestCommand(TextWriter output, TextWriter error, SelftestModelFactory? createModel = null)
        : base(
            "selftest",
            "Run every rule with every option, and the dimer, on a device and compare the bits of parameters, gradients and "
            + "states with the CPU's after each call: in float32, in 16 bits with and without masters, remainders and stochastic "
            + "rounding, with states of 16 and 8 bits, with gradients that are clipped, skipped or missing. On the CPU, every instruction "
            + "set and several numbers of threads are compared with its most portable kernels on one thread. Canaries around each "
            + "tensor find what is written outside of it. The exit code is 0 if nothing differs, 1 if anything does or the device "
            + "failed; Ctrl-C ends it with what there is (exit code 130).")
    {
        _device.DefaultValueFactory = null;
        _device.Description = "What is tested: cpu, cuda (the first GPU) or cuda:N. Default: cuda if there is a GPU, else cpu.";
        Option[] options = [_device, _rules, _shapes, _seed, _quick, _json];
        foreach (Option option in options)
        {
            Add(option);
        }

        SetAction((parsed, stop) => Task.FromResult(
            Run(parsed, new Terminal(output, error, parsed.GetValue(_json)), createModel, stop)));
    }

    public string Examples => """
        Examples:
          nativeopt selftest
          nativeopt selftest --device cuda:1 --quick
          nativeopt selftest --device cpu --rules adam,sgd --shapes awkward,random --seed 7
          nativeopt selftest --json > selftest.json

        """;

    private int Run(
        ParseResult parsed, Terminal terminal, SelftestModelFactory? createModel, CancellationToken stop)
    {
        Device device = parsed.GetResult(_device) is not null ? parsed.GetValue(_device)
            : Device.Count(Backend.Cuda) > 0 ? Device.Cuda()
            : Device.Cpu;
        CommonOptions.Require(device);
        int seed = parsed.GetValue(_seed) ?? 1;
        bool isQuick = parsed.GetValue(_quick);
        var plan = new SelftestPlan(
            device,
            CommonOptions.Chosen(parsed, _rules, NativeRuntime.Rules),
            CommonOptions.Chosen(parsed, _shapes, SelftestShape.All),
            (ulong)seed,
            isQuick,
            createModel);

        var view = new SelftestView(terminal);
        view.ShowHeader(plan);
        SelftestOutcome outcome = view.Watch(plan, afterEach => plan.Run(afterEach, stop));
        if (terminal.IsJson)
        {
            terminal.WriteJson(Summary(plan, outcome, seed, isQuick));
        }
        else
        {
            view.ShowOutcome(plan, outcome);
        }

        if (outcome.Fault is not null)
        {
            throw new SelftestFault($"{outcome.Fault} The remaining cases were not run.");
        }

        return outcome.IsCancelled ? ExitCode.Cancelled
            : outcome.Failed == 0 ? ExitCode.Success
            : ExitCode.Failure;
    }

    private static SelftestSummary Summary(SelftestPlan plan, SelftestOutcome outcome, int seed, bool isQuick)
    {
        DeviceInfo device = plan.Settings[^1].Device.GetInfo();
        return new SelftestSummary(
            device.Device.ToString(),
            device.Name,
            device.ComputeCapability?.ToString(),
            NativeRuntime.BuildInfo,
            plan.Settings[0].Name,
            [.. plan.Settings.Skip(1).Select(static setting => setting.Name)],
            seed,
            isQuick,
            plan.Cases.Count,
            outcome.Passed,
            outcome.Failed,
            outcome.IsCancelled,
            outcome.Fault,
            [.. outcome.Results.Select(static result => new CaseSummary(
                result.Case.Options.Rule.Name,
                result.Case.Options.Name,
                result.Case.Dimer?.Name,
                result.Case.Storage.Name,
                result.Case.Gradients?.Name,
                result.Case.Arrangement.Shape.Name,
                result.Case.Arrangement.ToString(),
                result.Case.Counts.Length,
                result.Case.ElementCount,
                result.Case.Steps,
                result.Comparison.Compared,
                result.Comparison.Different,
                result.Comparison.DamagedCanaries,
                result.Passed,
                result.Comparison.Differences))]);
    }

    // The members of the JSON document. Numbers that differ have their bits, too, since JSON has no NaN.
    private sealed record SelftestSummary(
        string Device,
        string Name,
        string? ComputeCapability,
        string Build,
        string ComparedWith,
        string[] Tested,
        int Seed,
        bool Quick,
        int Cases,
        int Passed,
        int Failed,
        bool Cancelled,
        string? Fault,
        CaseSummary[] Results);

    private sealed record CaseSummary(
        string Rule,
        string Options,
        string? Dimer,
        string Storage,
        string? Gradients,
        string Shape,
        string Arrangement,
        int Tensors,
        long Elements,
        int Steps,
        long ElementsCompared,
        long DifferentElements,
        long DamagedCanaries,
        bool Passed,
        IReadOnlyList<Difference> Differences);
}
