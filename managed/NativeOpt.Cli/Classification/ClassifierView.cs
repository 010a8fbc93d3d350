using System.Globalization;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Statistics;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Classification;

/// <summary>What <c>nativeopt classify</c> shows to people.</summary>
internal sealed class ClassifierView(Terminal terminal)
{
    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>What is about to be trained, and on what.</summary>
    public void ShowHeader(ClassifierPlan plan)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        Row(
            "images",
            $"{ClassifierFiles.Title(plan)}, {plan.Images.Test.Count:N0} test images, {plan.Images.Classes} classes, "
            + $"{plan.Images.Train.Channels} x {plan.Images.Train.Height} x {plan.Images.Train.Width} pixels");
        Row("model", $"perceptron {string.Join('-', plan.Widths)} with GELU, {plan.ParameterCount:N0} parameters");
        Row(
            "training",
            $"{plan.Epochs} epochs in batches of {plan.BatchSize}, {plan.Schedule.ToString().ToLowerInvariant()} schedule, weight decay "
            + (plan.WeightDecay is double decay ? decay.ToString(CultureInfo.InvariantCulture) : "as each optimizer has it"));
        Row(
            "learning rates",
            plan.Searches
                ? $"each optimizer's best of {Join(plan.LearningRates!)} on {plan.HeldOut:N0} training images that are "
                    + "held out, from a seed of its own"
                : plan.LearningRates is [var one] ? string.Create(CultureInfo.InvariantCulture, $"{one}") : "each optimizer's own");
        Row("runs", $"{plan.RunCount:N0}, {plan.Threads} at a time; seeds {plan.Seed} to {plan.Seed + (ulong)plan.Seeds - 1}");
        _console.Write(grid);

        static string Join(IReadOnlyList<double> rates) =>
            string.Join(", ", rates.Select(static rate => rate.ToString(CultureInfo.InvariantCulture)));

        void Row(string name, string value) => grid.AddRow(new Markup($"[bold]{name}[/]"), new Text(value));
    }

    /// <summary>Does all runs and shows how far it is: a bar in a terminal, a line for each run in a file.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="run">Does them, and calls the action after each.</param>
    public IReadOnlyList<ClassifierResult> Watch(
        ClassifierPlan plan, Func<Action<ClassifierJob, ClassifierRun>, IReadOnlyList<ClassifierResult>> run)
    {
        if (!terminal.IsInteractive)
        {
            int done = 0;
            return run((job, own) => _console.WriteLine($"{++done}/{plan.RunCount} {Describe(plan, job, own)}"));
        }

        return _console.Progress().AutoClear(true)
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left },
                new ProgressBarColumn { Width = 20 },
                new PercentageColumn(),
                new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("running", maxValue: plan.RunCount);
                IReadOnlyList<ClassifierResult> results = run((job, own) =>
                {
                    task.Description = Markup.Escape(Describe(plan, job, own));
                    task.Increment(1);
                });
                task.StopTask();
                return results;
            });
    }

    /// <summary>The table, and what it says.</summary>
    public void ShowResults(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results)
    {
        ClassifierResult reference = ClassifierResult.Reference(results);
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("optimizer", "learning\nrate", "train\naccuracy %", "test\naccuracy %", "gap %")
            .AddColumns($"test less {reference.Name} %\n[95% interval]".EscapeMarkup());
        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned().NoWrap();
        }

        foreach (ClassifierResult result in results)
        {
            string[] cells =
            [
                result.Name, Rate(result.Choice), Percent(result.TrainAccuracy), Percent(result.TestAccuracy), Percent(result.Gap),
                Difference(plan, result, reference),
            ];
            table.AddRow(cells.Select(static cell => (IRenderable)new Text(cell)));
        }

        _console.Write(table);
        _console.WriteLine(
            $"means ± standard deviations over {Seeds(results)}, after the last epoch; the "
            + "interval is a bootstrap over seeds, whose runs begin with the same weights and see the same batches");
        if (results.Any(static result => result.Choice.IsAtEnd))
        {
            _console.WriteLine("*: at an end of the grid of learning rates; a better one may lie outside (--learning-rates)");
        }

        foreach (ClassifierResult result in results.Where(static result => result.Diverged > 0))
        {
            _console.WriteLine($"{result.Name}: {result.Diverged} of {result.Runs.Count} runs diverged, so that there is no mean");
        }

        foreach (ClassifierResult result in results.Where(static result => result.Choice.Optimizer.Switches))
        {
            _console.WriteLine(
                $"{result.Name}: {result.Runs.Sum(static own => own.Run.SwitchedTensors)} of "
                + $"{result.Runs.Count * 2 * (plan.Widths.Count - 1)} tensors switched to SGD");
        }
    }

    public void ShowCancelled(int done, int all) => _console.WriteLine($"stopped, on request, after {done} of {all} runs");

    /// <summary>How many seeds were done.</summary>
    public static string Seeds(IReadOnlyList<ClassifierResult> results) =>
        results.Max(static result => result.Runs.Count) is var count && count == 1 ? "1 seed" : $"{count} seeds";

    /// <summary>A mean with its standard deviation, in per cent.</summary>
    public static string Percent(Spread spread) =>
        double.IsNaN(spread.Mean) ? "diverged"
            : double.IsNaN(spread.StandardDeviation) ? FormattableString.Invariant($"{100 * spread.Mean:0.00;−0.00}")
            : FormattableString.Invariant($"{100 * spread.Mean:0.00;−0.00} ± {100 * spread.StandardDeviation:0.00}");

    /// <summary>A learning rate, with a star where it is at an end of the grid.</summary>
    public static string Rate(ClassifierChoice choice) =>
        choice.LearningRate.ToString(CultureInfo.InvariantCulture) + (choice.IsAtEnd ? "*" : "");

    /// <summary>How much more accurate an optimizer is than another, in per cent, with its interval; empty for itself.</summary>
    public static string Difference(ClassifierPlan plan, ClassifierResult result, ClassifierResult reference) =>
        ReferenceEquals(result, reference) || result.Difference(reference, plan.Seed) is not Estimate difference ? ""
            : FormattableString.Invariant(
                $"{100 * difference.Value:+0.00;−0.00} [{100 * difference.Low:+0.00;−0.00}, {100 * difference.High:+0.00;−0.00}]");

    private static string Describe(ClassifierPlan plan, ClassifierJob job, ClassifierRun run) => FormattableString.Invariant(
        $"{job.Optimizer.Name}, rate {job.LearningRate}, {(job.Seed == plan.SearchSeed ? "held out" : $"seed {job.Seed}")}: ")
        + (run.HasDiverged ? "diverged" : FormattableString.Invariant($"{100 * run.Accuracy:0.00}%"));
}
