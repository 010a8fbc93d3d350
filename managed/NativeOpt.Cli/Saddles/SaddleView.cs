using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Saddles;

/// <summary>What <c>nativeopt saddle</c> shows to people.</summary>
internal sealed class SaddleView(Terminal terminal)
{
    // What the table of four problems needs with learning rates, and with ranges; bare it fits 80 columns.
    private const int WidthOfRates = 90;
    private const int WidthOfRanges = 142;

    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>What is about to be run.</summary>
    public void ShowHeader(SaddlePlan plan)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        foreach (SaddleProblem problem in plan.Problems)
        {
            Row(
                problem.Name,
                $"{problem.Description}. {problem.Dimension:N0} parameters; smallest curvature "
                + $"{problem.SmallestCurvature:0.##}; starts at a distance of {problem.StartDistance:0.###}; "
                + $"left when the loss is at most {problem.Goal:0.####}, "
                + $"half of the way from {problem.SaddleLoss:0.####} down to {problem.SaddleLoss - problem.Depth:0.####}");
        }

        foreach (SaddleDimer dimer in plan.Dimers)
        {
            Row(dimer.Name, dimer.Description);
        }

        _console.Write(grid);
        _console.WriteLine(
            $"{plan.RunCount:N0} runs of at most {plan.Budget:N0} gradients, from {plan.Starts} starts (seed {plan.Seed}), "
            + (plan.LearningRate is double rate
                ? string.Create(CultureInfo.InvariantCulture, $"at a learning rate of {rate}")
                : "at each learning rate of the rule's grid"));

        void Row(string name, string value) => grid.AddRow(new Markup($"[bold]{name}[/]"), new Text(value));
    }

    /// <summary>Runs all problems and shows how far it is: a bar in a terminal, a line for each problem in a file.</summary>
    public IReadOnlyList<SaddleCell> Watch(
        SaddlePlan plan, Func<SaddleProblem, Action, IReadOnlyList<SaddleCell>> run)
    {
        if (!terminal.IsInteractive)
        {
            return
            [
                .. plan.Problems.SelectMany(problem =>
                {
                    IReadOnlyList<SaddleCell> cells = run(problem, static () => { });
                    _console.WriteLine($"{problem.Name}: done");
                    return cells;
                }),
            ];
        }

        return _console.Progress().AutoClear(true)
            .Columns(
                new TaskDescriptionColumn(),
                new ProgressBarColumn { Width = 20 },
                new PercentageColumn(),
                new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("running", maxValue: plan.RunCount);
                IReadOnlyList<SaddleCell> cells =
                [
                    .. plan.Problems.SelectMany(problem =>
                    {
                        task.Description = problem.Name;
                        return run(problem, () => task.Increment(1));
                    }),
                ];
                task.StopTask();
                return cells;
            });
    }

    /// <summary>The gradients that every optimizer needed.</summary>
    public void ShowResults(SaddlePlan plan, IReadOnlyList<SaddleCell> cells)
    {
        bool hasRates = _console.Profile.Width >= WidthOfRates;
        bool hasRanges = plan.Starts > 1 && _console.Profile.Width >= WidthOfRanges;
        Table table = new Table().Border(TableBorder.Rounded).AddColumn("optimizer");
        foreach (SaddleProblem problem in plan.Problems)
        {
            table.AddColumn(new TableColumn(new Text(problem.Name)).RightAligned().NoWrap());
        }

        foreach (SaddleRule rule in plan.Rules)
        {
            table.AddRow(new Markup($"[bold]{rule.Name}[/]"));
            foreach (SaddleDimer dimer in plan.Dimers)
            {
                IEnumerable<IRenderable> row = plan.Problems.Select(problem => ToCell(
                    SaddleFiles.Find(cells, problem, rule, dimer),
                    cells.FirstOrDefault(cell =>
                        cell.Problem == problem && cell.Rule == rule && cell.Dimer.IsNone)));
                table.AddRow([new Text($"  {dimer.Name}"), .. row]);
            }
        }

        _console.Write(table);
        _console.WriteLine(
            $"gradient evaluations to leave, the dimer's included: median of {plan.Starts} starts"
            + (hasRanges ? " (range)" : "")
            + (plan.LearningRate is null ? $"{(hasRates ? " @" : " at")} the best learning rate of the grid" : "")
            + $"; >{plan.Budget:N0}: has not left with so many");

        IRenderable ToCell(SaddleCell? cell, SaddleCell? alone)
        {
            if (cell is null)
            {
                return new Text("n/a");
            }

            string text = Number(cell.Cost, cell.Outcome);
            if (hasRanges && double.IsFinite(cell.SmallestCost) && cell.SmallestCost < cell.LargestCost)
            {
                text += $" ({Number(cell.SmallestCost)}..{Number(cell.LargestCost, cell.WorstOutcome)})";
            }

            if (hasRates && plan.LearningRate is null && double.IsFinite(cell.SmallestCost))
            {
                text += string.Create(CultureInfo.InvariantCulture, $" @ {cell.LearningRate}");
            }

            return new Text(text, cell.Cost < alone?.Cost ? new Style(Color.Green) : Style.Plain);
        }

        string Number(double cost, SaddleOutcome outcome = SaddleOutcome.NotWithin) =>
            double.IsFinite(cost) ? cost.ToString("#,0.#", CultureInfo.InvariantCulture)
                : outcome == SaddleOutcome.Diverged ? "diverged"
                : plan.Budget.ToString(">#,0", CultureInfo.InvariantCulture);
    }

    public void ShowCancelled() => _console.WriteLine("stopped, on request, before all runs were done: there is no result");
}
