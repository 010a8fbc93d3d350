using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Finetuning;

/// <summary>What <c>nativeopt finetune</c> shows to people.</summary>
internal sealed class FinetuneView(Terminal terminal)
{
    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>Says that a model is trained first.</summary>
    public void ShowPretraining(string folder) =>
        _console.WriteLine($"no model is given by --from, so one is trained first; its files go to {folder}");

    /// <summary>What is about to be run.</summary>
    public void ShowHeader(FinetunePlan plan, FinetuneTask task)
    {
        FinetuneData data = task.Data;
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        Row("model", task.StartName);
        Row(
            "text",
            $"{task.TextName}: {data.Training.Length:N0} characters for training, {data.HeldOut.Length:N0} to choose learning rates by, "
            + $"{data.Validation.Length:N0} for validation"
            + (task.UnknownCharacters > 0
                ? $"; {task.UnknownCharacters:N0} of them are not in the model's vocabulary and read as one character" : ""));
        Row(
            "training",
            $"{plan.Epochs} epochs of {data.StepsPerEpoch:N0} steps of {plan.BatchSize} x {task.Start.Config.ContextLength} characters, "
            + "warm-up over a tenth, cosine to a tenth");
        Row(
            "learning rates",
            plan.LearningRate is { } rate ? string.Create(CultureInfo.InvariantCulture, $"{rate}, as given")
                : $"{string.Join(", ", FinetunePlan.RateFactors.Select(static own => own.ToString(CultureInfo.InvariantCulture)))} times the "
                    + "optimizer's rate in training; the one with the lowest loss of the part for it after the last epoch counts, of a "
                    + "run with a seed of its own");
        Row("runs", $"{plan.RunCount}, of which {plan.Seeds} of each optimizer count (seeds {plan.Seed} to {plan.RunSeeds.Last()})");
        _console.Write(grid);

        void Row(string name, string value) => grid.AddRow(new Markup($"[bold]{name}[/]"), new Text(value));
    }

    /// <summary>Does all runs and shows how far it is: a bar in a terminal, a line for each run in a file.</summary>
    /// <param name="plan">What is done.</param>
    /// <param name="run">Does it; calls the first action for each run and the second one with the epochs that are done.</param>
    public void Watch(FinetunePlan plan, Action<Action<string, FinetuneRun>, Action<int>> run)
    {
        if (!terminal.IsInteractive)
        {
            run((name, own) => _console.WriteLine(Line(name, own)), static _ => { });
            return;
        }

        _console.Progress().AutoClear(true)
            .Columns(
                new TaskDescriptionColumn(), new ProgressBarColumn { Width = 20 }, new PercentageColumn(), new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("fine-tuning", maxValue: plan.RunCount * plan.Epochs);
                run((name, own) => task.Description = Markup.Escape(Line(name, own)), epochs => task.Increment(epochs));
                task.StopTask();
            });
    }

    /// <summary>A table of all optimizers after the last epoch, and what the numbers are worth.</summary>
    public void ShowResults(FinetunePlan plan, IReadOnlyList<FinetuneResult> results)
    {
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("optimizer", "learning\nrate", "training\nloss", "validation\nloss", "validation\nperplexity", "generalisation\ngap");
        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned().NoWrap();
        }

        foreach (FinetuneResult result in results)
        {
            IEnumerable<string> cells = result.IsComplete
                ? FinetuneFiles.Columns(result, plan.Epochs).Select(FinetuneFiles.Text) : Enumerable.Repeat("diverged", 4);
            table.AddRow(
                [new Text(result.Name), new Text(result.LearningRate.ToString(CultureInfo.InvariantCulture)), .. cells.Select(ToCell)]);
        }

        _console.Write(table);
        _console.WriteLine(
            $"after {plan.Epochs} epochs, mean ± standard deviation over {results[0].Runs.Count} seeds; losses in nats, perplexities per "
            + "character");
        foreach (FinetuneComparison comparison in FinetuneComparison.All(results))
        {
            _console.WriteLine($"{FinetuneFiles.Text(comparison)} (mean difference by seed, 95 % bootstrap interval)");
        }

        foreach (FinetuneResult result in results.Where(static result => result.IsAtEndOfGrid))
        {
            _console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{result.Name}: its learning rate {result.LearningRate} is at an end of the grid, and a better one may be outside"));
        }

        static IRenderable ToCell(string text) => new Text(text);
    }

    /// <summary>Says that it ended early.</summary>
    /// <param name="seeds">The seeds that all optimizers have finished.</param>
    public void ShowCancelled(int seeds) => _console.WriteLine(
        $"stopped, on request, with {(seeds == 0 ? "no seed" : $"{seeds} of the seeds")} finished by all optimizers; "
        + $"{CommonOptions.ResumeName} with the same options goes on");

    private static string Line(string name, FinetuneRun run) => run.IsDiverged ? $"{name}: diverged"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: training loss {run.Points[^1].TrainingLoss:0.000}, held out {run.HeldOutLoss:0.000}");
}
