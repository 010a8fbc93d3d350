using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Landscapes;

/// <summary>What <c>nativeopt landscape</c> shows to people.</summary>
internal sealed class LandscapeView(Terminal terminal)
{
    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>Runs all landscapes and shows how far it is: a bar in a terminal, a line for each landscape in a file.</summary>
    public IReadOnlyList<LandscapeRun> Watch(
        LandscapePlan plan, Func<Landscape, Action, IReadOnlyList<LandscapeRun>> run)
    {
        if (!terminal.IsInteractive)
        {
            return
            [
                .. plan.Landscapes.SelectMany(landscape =>
                {
                    IReadOnlyList<LandscapeRun> runs = run(landscape, static () => { });
                    _console.WriteLine($"{landscape.Name}: done");
                    return runs;
                }),
            ];
        }

        return _console.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn { Width = 20 }, new PercentageColumn(), new ElapsedTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("running", maxValue: plan.RunCount);
                IReadOnlyList<LandscapeRun> runs =
                [
                    .. plan.Landscapes.SelectMany(landscape =>
                    {
                        task.Description = landscape.Name;
                        return run(landscape, () => task.Increment(1));
                    }),
                ];
                task.StopTask();
                return runs;
            });
    }

    /// <summary>Where every optimizer ended.</summary>
    public void ShowResults(LandscapePlan plan, IReadOnlyList<LandscapeRun> runs)
    {
        foreach (Landscape landscape in plan.Landscapes)
        {
            (double x, double y) = plan.StartOn(landscape);
            _console.WriteLine();
            _console.Write(new Markup($"[bold]{landscape.Name}[/] "));
            _console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{landscape.Equation}, from ({x}, {y}), where the loss is {landscape.Evaluate(x, y).Loss:0.####}"));

            // Short headings and few decimals: the table fits 80 columns.
            Table table = new Table().Border(TableBorder.Rounded)
                .AddColumns("optimizer", "rate", "x", "y", "loss", "gradient\nnorm", "sharpness");
            foreach (TableColumn column in table.Columns.Skip(1))
            {
                column.RightAligned().NoWrap();
            }

            foreach (LandscapeRun run in runs.Where(run => run.Landscape == landscape))
            {
                Row(
                    run.Recipe.Name,
                    run.LearningRate.ToString("G4", CultureInfo.InvariantCulture),
                    LandscapeFiles.Number(run.End.X, 3),
                    LandscapeFiles.Number(run.End.Y, 3),
                    LandscapeFiles.Number(run.End.Loss, 3),
                    LandscapeFiles.Number(run.EndGradient, 4),
                    LandscapeFiles.Number(run.Sharpness, 3));
            }

            _console.Write(table);
            foreach (LandscapeRun run in runs.Where(run => run.Landscape == landscape && run.HasLeft))
            {
                _console.WriteLine($"{run.Recipe.Name}: ended before step {run.Steps + 1:N0}, which would have left the square");
            }

            void Row(params string[] cells) => table.AddRow(cells.Select(static cell => (IRenderable)new Text(cell)));
        }

        _console.WriteLine(
            $"after {plan.Steps:N0} steps; gradient norm and sharpness (the largest eigenvalue of the Hessian) are those of the last "
            + "point");
    }

    public void ShowCancelled() => _console.WriteLine("stopped, on request, before all runs were done: there is no result");
}
