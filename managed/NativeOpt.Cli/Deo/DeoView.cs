using System.Globalization;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Training;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Deo;

/// <summary>What <c>nativeopt deo</c> shows to people.</summary>
internal sealed class DeoView(Terminal terminal)
{
    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>What is about to be run.</summary>
    public void ShowHeader(string textName, TextDataset data, DeoPlan plan)
    {
        GptConfig model = plan.Model;
        long parameters = new Gpt(model, maximumBatch: 1, seed: 1).ParameterCount;
        _console.WriteLine(
            $"{plan.Jobs.Count:N0} runs of {plan.Gradients:N0} gradients, those of dimers and of Hessian estimates included: "
            + $"{Names(plan.Rules, static rule => rule.Name)}; dimers {Names(plan.Variants, static variant => variant.Name)}; "
            + $"seeds 1 to {plan.Seeds}");
        _console.WriteLine(
            $"GPT, {parameters:N0} parameters ({model.Layers} layers, {model.Heads} heads, width {model.Width}, context "
            + $"{model.ContextLength}), batches of {plan.Shape.BatchSize}; {textName}, {data.Training.Length + data.Validation.Length:N0} "
            + "characters; a constant learning rate after the warm-up");
        _console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"a spike begins at a training loss above m + {plan.Spike.Threshold}·1.4826·MAD, with m and MAD of the last ")
            + $"{plan.Spike.Window} losses");

        static string Names<T>(IEnumerable<T> all, Func<T, string> nameOf) => string.Join(", ", all.Select(nameOf));
    }

    /// <summary>Runs something and shows how far it is: a bar in a terminal, a line for each run in a file.</summary>
    public T Watch<T>(int count, Func<Action<DeoJob, DeoRun>, T> run)
    {
        int done = 0;
        if (!terminal.IsInteractive)
        {
            return run((job, result) => _console.WriteLine($"{++done} of {count}: {Describe(job, result)}"));
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
                ProgressTask task = context.AddTask("training", maxValue: count);
                T result = run((job, _) =>
                {
                    task.Description = Markup.Escape(job.Name);
                    task.Increment(1);
                });
                task.StopTask();
                return result;
            });
    }

    /// <summary>What came of every optimizer.</summary>
    public void ShowResults(DeoResults results)
    {
        if (results.Runs.Count < results.Plan.Jobs.Count)
        {
            _console.WriteLine(
                $"stopped, on request, after {results.Runs.Count} of {results.Plan.Jobs.Count} runs; {CommonOptions.ResumeName} goes on "
                + "after them");
        }

        if (results.Cells.Count == 0)
        {
            return;
        }

        Table table = Columns("optimizer", "dimer", "learning\nrate", "spikes in\n1,000 steps", "training\nloss", "validation\nloss", "diverged");
        foreach (DeoCell cell in results.Cells)
        {
            Row(
                table,
                cell.Rule.Name,
                cell.Variant.Name,
                cell.LearningRate.ToString(CultureInfo.InvariantCulture),
                DeoMarkdown.Format(cell.SpikeRate, "0.0"),
                DeoMarkdown.Format(cell.TrainLoss),
                DeoMarkdown.Format(cell.ValidationLoss),
                $"{cell.Diverged} of {cell.Runs.Count}");
        }

        _console.Write(table);
        _console.WriteLine($"mean ± standard deviation over seeds, after {results.Plan.Gradients:N0} gradients");
        if (results.Comparisons.Count == 0)
        {
            return;
        }

        table = Columns(
            "optimizer", "dimer", "pairs", "Δ spikes in\n1,000 steps", "fewer,\nmore", "Δ validation\nloss", "best without", "best with");
        foreach (DeoComparison own in results.Comparisons)
        {
            Row(
                table,
                own.Rule.Name,
                own.Variant.Name,
                $"{own.Pairs}",
                DeoMarkdown.Format(own.SpikeRate, "+0.0;−0.0;0.0"),
                $"{own.FewerSpikes}, {own.MoreSpikes}",
                DeoMarkdown.Format(own.ValidationLoss),
                DeoMarkdown.Format(own.BestAlone),
                DeoMarkdown.Format(own.BestWith));
        }

        _console.Write(table);
        _console.WriteLine(
            "Δ: with the dimer minus without, over pairs of one learning rate and seed, with 95 % intervals by bootstrap; best: the learning "
            + "rate of the lowest mean validation loss, of those at which no run diverged");
    }

    private static string Describe(DeoJob job, DeoRun run) => string.Create(
        CultureInfo.InvariantCulture,
        $"{job.Name}: {run.Spikes.Length} spikes, {(run.HasDiverged ? "diverged" : $"validation loss {run.ValidationLoss:0.000}")}");

    private static Table Columns(params string[] names)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns(names);
        foreach (TableColumn column in table.Columns.Skip(2))
        {
            column.RightAligned().NoWrap();
        }

        return table;
    }

    private static void Row(Table table, params string[] cells) =>
        table.AddRow(cells.Select(static cell => (IRenderable)new Text(cell)));
}
