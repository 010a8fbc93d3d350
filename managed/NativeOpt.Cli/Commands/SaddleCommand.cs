using System.CommandLine;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Saddles;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt saddle</c>.</summary>
internal sealed class SaddleCommand : Command, IHaveExamples
{
    private readonly Option<SaddleProblem[]?> _problems =
        Names("--problem", "Functions with a saddle point", static () => SaddleProblem.All, static problem => problem.Name);

    private readonly Option<SaddleRule[]?> _rules =
        Names("--optimizer", "Update rules", static () => SaddleRule.All, static rule => rule.Name);

    private readonly Option<SaddleDimer[]?> _dimers =
        Names("--dimer", "What is put around each rule", static () => SaddleDimer.All, static dimer => dimer.Name);

    private readonly Option<double?> _learningRate = CommonOptions.Hyperparameter(
        "--learning-rate", OptimizerPresets.LearningRate, "The one learning rate of all runs. Default: a grid for each rule.");

    private readonly Option<int?> _budget = CommonOptions.Integer(
        "--budget", $"Gradients that a run may use. Default: {SaddlePlan.DefaultBudget}.", 1);

    private readonly Option<int?> _starts = CommonOptions.Integer(
        "--starts", $"Starts near each saddle point. Default: {SaddlePlan.DefaultStarts}.", 1, 1000);

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed", "Selects the starts and the dimers' first directions. Default: 1.", 0);

    private readonly Option<Device> _device = CommonOptions.Device();

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"Folder for {SaddleFiles.Table}, {SaddleFiles.Runs} (every run at every learning rate), "
            + $"{SaddleFiles.Picture} and pictures of the losses. Default: none of them is written.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public SaddleCommand(TextWriter output, TextWriter error)
        : base(
            "saddle",
            "Count the gradients that optimizers need to leave a saddle point, with and without a dimer. All begin at the "
            + "same points near it. Gradients are counted, not steps, since a dimer evaluates more of them. Every optimizer "
            + "with every dimer runs at each learning rate of the rule's grid and is shown at its own best one. It has left "
            + "when the loss has fallen by half of what the escape direction has to give, and stays there for 50 steps. "
            + "Ctrl-C ends it without a result (exit code 130).")
    {
        Option[] options =
            [_problems, _rules, _dimers, _learningRate, _budget, _starts, _seed, _device, _out, _json];
        foreach (Option option in options)
        {
            Add(option);
        }

        SetAction((parsed, stop) => Task.FromResult(
            Run(parsed, new Terminal(output, error, parsed.GetValue(_json)), stop)));
    }

    public string Examples => """
        Examples:
          nativeopt saddle
          nativeopt saddle --problem quadratic,factorization --optimizer sgd,adam --out saddles
          nativeopt saddle --dimer none,escape --learning-rate 0.01 --json

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        Device device = parsed.GetValue(_device);
        CommonOptions.Require(device);
        var plan = new SaddlePlan
        {
            Problems = CommonOptions.Chosen(parsed, _problems, SaddleProblem.All),
            Rules = CommonOptions.Chosen(parsed, _rules, SaddleRule.All),
            Dimers = CommonOptions.Chosen(parsed, _dimers, SaddleDimer.All),
            LearningRate = parsed.GetValue(_learningRate),
            Budget = parsed.GetValue(_budget) ?? SaddlePlan.DefaultBudget,
            Starts = parsed.GetValue(_starts) ?? SaddlePlan.DefaultStarts,
            Seed = (ulong)(parsed.GetValue(_seed) ?? 1),
            Device = device,
        };
        if (plan.RunCount == 0)
        {
            throw new UsageException(
                "--dimer: the problem is degenerate and has no exact direction; choose a dimer that learns one, or another "
                + "problem.");
        }

        foreach (SaddleRule rule in plan.Rules)
        {
            CommonOptions.RequireLearningRate(_learningRate.Name, rule.Name, rule.Preset.Rule, plan.LearningRate);
        }

        string? folder = parsed.GetValue(_out);
        OutputFiles.PrepareFolder(_out.Name, folder);

        var record = new RunRecord(parsed, plan, device);
        var view = new SaddleView(terminal);
        view.ShowHeader(plan);
        IReadOnlyList<SaddleCell> cells;
        try
        {
            cells = view.Watch(plan, (problem, afterEach) => plan.Run(problem, afterEach, stop));
        }
        catch (OperationCanceledException)
        {
            // The table of half of the runs would compare what cannot be compared.
            view.ShowCancelled();
            return ExitCode.Cancelled;
        }

        OutputFiles files = new();
        files.Publish(
            terminal,
            record,
            folder,
            () => SaddleFiles.Of(plan, cells),
            () => Summary(plan, cells, folder),
            () => view.ShowResults(plan, cells));
        files.ThrowIfLost();
        return ExitCode.Success;
    }

    private static Option<T[]?> Names<T>(string option, string what, Func<IReadOnlyList<T>> all, Func<T, string> nameOf)
        where T : class =>
        CommonOptions.Names(
            option, $"{what}, of {Library.Names(() => [.. all().Select(nameOf)])}. Default: all.", all, nameOf);

    private static SaddleSummary Summary(SaddlePlan plan, IReadOnlyList<SaddleCell> cells, string? folder) => new(
        [.. plan.Problems.Select(static problem => new ProblemSummary(
            problem.Name,
            problem.Description,
            problem.Dimension,
            problem.SmallestCurvature,
            problem.StartDistance,
            problem.SaddleLoss,
            problem.Goal))],
        [.. plan.Rules.Select(rule => new RuleSummary(rule.Name, plan.Rates(rule)))],
        [.. plan.Dimers.Select(static dimer => new DimerSummary(dimer.Name, dimer.Description))],
        plan.Device.ToString(),
        plan.Seed,
        plan.Starts,
        plan.Budget,
        [.. cells.Select(static cell => new CellSummary(
            cell.Problem.Name,
            cell.Rule.Name,
            cell.Dimer.Name,
            cell.LearningRate,
            SaddleFiles.Name(cell.Outcome),
            cell.Cost,
            cell.SmallestCost,
            cell.LargestCost,
            [.. cell.Best.Select(static run => new RunSummary(
                SaddleFiles.Name(run.Outcome), run.GradientEvaluations, run.Steps))]))],
        folder is null ? null : Path.GetFullPath(folder));

    // The members of the JSON document. What did not leave has no number: null.
    private sealed record SaddleSummary(
        ProblemSummary[] Problems,
        RuleSummary[] Optimizers,
        DimerSummary[] Dimers,
        string Device,
        ulong Seed,
        int Starts,
        long Budget,
        CellSummary[] Results,
        string? Folder);

    private sealed record ProblemSummary(
        string Name,
        string Description,
        int Parameters,
        double SmallestCurvature,
        double StartDistance,
        double SaddleLoss,
        double Goal);

    private sealed record RuleSummary(string Name, IReadOnlyList<double> LearningRates);

    private sealed record DimerSummary(string Name, string Description);

    private sealed record CellSummary(
        string Problem,
        string Optimizer,
        string Dimer,
        double LearningRate,
        string Outcome,
        double Median,
        double Smallest,
        double Largest,
        RunSummary[] Runs);

    private sealed record RunSummary(string Outcome, long GradientEvaluations, long Steps);
}
