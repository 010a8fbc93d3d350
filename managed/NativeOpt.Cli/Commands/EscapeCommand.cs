using System.CommandLine;
using NativeOpt.Cli.Landscapes.Escapes;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt landscape escape</c>.</summary>
internal sealed class EscapeCommand : Command, IHaveExamples
{
    private static readonly EscapePlan _default = new() { Rules = EscapeRule.All };

    private readonly Option<EscapeRule[]?> _rules = CommonOptions.Names(
        "--optimizer",
        $"Of {string.Join(", ", EscapeRule.All.Select(static rule => rule.Name))}: those that the theory tells of. Default: all.",
        static () => EscapeRule.All,
        static rule => rule.Name);

    private readonly Option<int?> _starts = CommonOptions.Integer(
        "--starts", $"Starts of each well. Default: {_default.Starts}.", 20, 100_000);

    private readonly Option<int?> _curvatures = CommonOptions.Integer(
        "--curvatures", $"Curvatures of each optimizer. Default: {_default.Curvatures}.", 2, 100);

    private readonly Option<double?> _batchSize = CommonOptions.Positive(
        "--batch-size",
        "B: the variance of the gradient's noise is H/B. Smaller ones bring smaller steps, nearer to the theory and longer to wait "
        + "for. "
        + FormattableString.Invariant($"Default: {_default.BatchSize}."));

    private readonly Option<bool> _fixedNoise = new("--fixed-noise")
    {
        Description = "A variance of 1/B whatever the curvature: without the theory's assumption, no power of H is left.",
    };

    private readonly Option<int?> _seed = CommonOptions.Integer("--seed", $"Selects the noise. Default: {_default.Seed}.", 0);

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Wells to simulate at a time; the results are the same with any number. Default: all processors.", 1, 1024);

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"Folder for {EscapeFiles.Times} and {EscapeFiles.Picture}. Default: neither is written.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _resume = CommonOptions.Resume();

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public EscapeCommand(TextWriter output, TextWriter error)
        : base(
            "escape",
            "Measure how the mean time τ to leave a well depends on its curvature H, by simulation. Theorem 1 of the DualAdam paper "
            + "(arXiv 2603.07122) says that log τ goes with H^(-1/2) for Adam and H^(-3/2) for InvAdam; for SGD it is H^(-1) (Xie et "
            + "al. 2021). They assume that the variance of the gradient's noise is H/B, and small steps. Starts begin at the minimum of a well "
            + "ΔL/2·(1 - cos kx) of curvature H; each has noise of its own. The power is taken from how log τ grows with the barrier "
            + "ΔL, which leaves out the factor before the exponential. It takes a minute or two on two cores. Ctrl-C ends it without a "
            + "result (exit code 130); with --out, --resume goes on with the wells that are not done.")
    {
        Option[] options = [_rules, _starts, _curvatures, _batchSize, _fixedNoise, _seed, _threads, _out, _resume, _json];
        foreach (Option option in options)
        {
            Add(option);
        }

        SetAction((parsed, stop) => Task.FromResult(
            Run(parsed, new Terminal(output, error, parsed.GetValue(_json)), stop)));
    }

    public string Examples => """
        Examples:
          nativeopt landscape escape --out escape
          nativeopt landscape escape --out escape --resume
          nativeopt landscape escape --optimizer adam,invadam --starts 10000 --seed 2
          nativeopt landscape escape --fixed-noise

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        var plan = new EscapePlan
        {
            Rules = CommonOptions.Chosen(parsed, _rules, EscapeRule.All),
            Starts = parsed.GetValue(_starts) ?? _default.Starts,
            Curvatures = parsed.GetValue(_curvatures) ?? _default.Curvatures,
            BatchSize = parsed.GetValue(_batchSize) ?? _default.BatchSize,
            HasFixedNoise = parsed.GetValue(_fixedNoise),
            Seed = (ulong?)parsed.GetValue(_seed) ?? _default.Seed,
            Threads = parsed.GetValue(_threads) ?? _default.Threads,
        };
        Require(plan);
        string? folder = parsed.GetValue(_out);
        bool resume = parsed.GetValue(_resume);
        CommonOptions.RequireFolder(_out.Name, folder, resume);
        OutputFiles.PrepareFolder(_out.Name, folder);
        FinishedRuns<FinishedWell>? finished =
            folder is null ? null : FinishedRuns<FinishedWell>.Open(folder, resume, plan with { Threads = 1 });

        var record = new RunRecord(parsed, plan);
        var view = new EscapeView(terminal);
        IReadOnlyList<EscapeTime[]> times;
        try
        {
            times = view.Watch(plan.Cells.Count, afterEach => EscapeRunner.Run(plan, finished, afterEach, stop));
        }
        catch (OperationCanceledException)
        {
            view.ShowCancelled();
            return ExitCode.Cancelled;
        }

        (IReadOnlyList<EscapeMeasurement> wells, IReadOnlyList<EscapeLaw> laws) = EscapeStatistics.Measure(plan, times);
        OutputFiles files = new();
        files.Publish(
            terminal,
            record,
            folder,
            () => EscapeFiles.Of(plan, wells, laws),
            () => EscapeSummary.Of(plan, wells, laws, folder),
            () => view.ShowResults(plan, wells, laws),
            finished?.Written);
        OutputFiles.ThrowIfAnyLost(files.Lost, finished?.Lost);
        return ExitCode.Success;
    }

    private void Require(EscapePlan plan)
    {
        foreach (EscapeCell cell in plan.Cells)
        {
            if (!Rule.Get(cell.Rule.Name).GetHyperparameter("lr").Allows(cell.LearningRate))
            {
                throw new UsageException(FormattableString.Invariant(
                    $"{_batchSize.Name} {plan.BatchSize}: the learning rate of {cell.Rule.Name} would be {cell.LearningRate}; choose ")
                    + "a number nearer to 1.");
            }
        }
    }
}
