using NativeOpt.Cli.Training;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Commands;

/// <summary>What <c>nativeopt train</c> shows to people.</summary>
internal sealed class TrainingView(Terminal terminal)
{
    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>What is about to be trained, and on what.</summary>
    public void ShowHeader(string textName, TextDataset data, TrainingPlan plan, long parameterCount)
    {
        GptConfig model = plan.Model;
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        Row("text", $"{textName}, {data.Training.Length + data.Validation.Length:N0} characters, a tenth for validation");
        Row("vocabulary", $"{model.VocabularySize} characters, unigram entropy {data.UnigramEntropy:0.0000} nats");
        Row(
            "model",
            $"GPT, {parameterCount:N0} parameters: {model.Layers} layers, {model.Heads} heads, width {model.Width}, "
            + $"context {model.ContextLength}");
        Row(
            "training",
            $"{plan.Schedule.Steps:N0} steps of {plan.Schedule.BatchSize} x {model.ContextLength} characters, "
            + $"warm-up {plan.Schedule.WarmupSteps}, cosine to a tenth, seed {plan.Seed}");
        bool isFloat32 = plan.Precision.DType == DType.Float32;
        Row(
            "parameters",
            isFloat32 ? "float32" : $"{plan.Precision.Parameters}; gradients in bfloat16; the model computes in float32 with what they are");
        Row("states", plan.Precision.States);
        Row(
            "optimizer on",
            plan.Device.Backend != Backend.Cpu
                ? $"{plan.Device}; the model is computed on the CPU, so each step copies gradients there and parameters back"
                : $"cpu ({NativeRuntime.CpuInstructionSet}), in "
                    + (isFloat32 ? "the model's own arrays" : "bfloat16, so each step converts gradients and parameters"));
        _console.Write(grid);

        void Row(string name, string value) =>
            grid.AddRow(new Markup($"[bold]{name}[/]"), new Text(value));
    }

    /// <summary>Runs something that takes long and shows how far it is: a bar in a terminal, a line now and then in a file.
    /// </summary>
    public TrainingRun Watch(string name, Func<Action<TrainingStatus>, TrainingRun> run)
    {
        if (!terminal.IsInteractive)
        {
            return run(status => ShowLine(name, status));
        }

        var statusColumn = new StatusColumn();
        return _console.Progress()
            .Columns(
                statusColumn,
                new ProgressBarColumn { Width = 20 },
                new PercentageColumn(),
                new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(name);
                TrainingRun result = run(status =>
                {
                    task.MaxValue = status.Steps;
                    task.Value = status.Step;
                    statusColumn.Text = $"[bold]{name}[/] {Losses(status)}\n[grey]{Speed(status)}[/]";
                });
                task.StopTask();
                return result;
            });
    }

    /// <summary>Says that a run was finished by an earlier command.</summary>
    public void ShowFinished(string name) => _console.WriteLine($"{name}: finished before");

    /// <summary>What every optimizer came to.</summary>
    public void ShowResults(double unigramEntropy, TrainingPrecision precision, IReadOnlyList<TrainingRun> runs)
    {
        // Two lines for each heading: the table fits 80 columns.
        bool hasDimer = runs.Any(static run => run.Recipe.HasDimer);
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("optimizer", "train\nloss", "validation\nloss", "of\nunigram", "optimizer\nms/step")
            .AddColumns("share\nof step", hasDimer ? "gradients" : "tokens/s");
        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned();
        }

        foreach (TrainingRun run in runs)
        {
            Row(
                run.Recipe.Name,
                $"{run.TrainLoss:0.0000}",
                $"{run.ValidationLoss:0.0000}",
                $"{run.ValidationLoss / unigramEntropy:0%}",
                $"{run.OptimizerMilliseconds:0.000}",
                $"{run.OptimizerShare:0.0%}",
                hasDimer ? $"{run.GradientEvaluations:N0}" : $"{run.TokensPerSecond:N0}");
        }

        Row("(unigram)", "", $"{unigramEntropy:0.0000}", "100%", "", "", "");
        _console.Write(table);
        foreach (TrainingRun run in runs)
        {
            string switching = run.SwitchingRate is double rate
                ? $", switching rate {rate:0.######} ({(rate > 0 ? $"Adam alone from step {Math.Ceiling(1 / rate):0} on" : "never Adam")})"
                : "";
            string curvature = run.Curvature is double value ? $", curvature {value:0.####} at last" : "";
            _console.WriteLine(
                $"{run.Recipe.Name}: {precision}, {run.Steps:N0} steps, peak learning rate {run.LearningRate:0.######}{switching}"
                + curvature);
            if (Explain(run) is { } explanation)
            {
                _console.WriteLine(explanation);
            }
        }

        void Row(params string[] cells) => table.AddRow(cells.Select(static cell => (IRenderable)new Text(cell)));
    }

    /// <summary>What the best model writes.</summary>
    public void ShowSample(TrainingRun run)
    {
        _console.Write(new Spectre.Console.Rule($"a sample of what the model of {run.Recipe.Name} writes").LeftJustified());
        _console.WriteLine(run.Sample.Trim('\n'));
        _console.Write(new Spectre.Console.Rule());
    }

    /// <summary>Why a run ended early; null if it did not.</summary>
    public static string? Explain(TrainingRun run) => run.End switch
    {
        TrainingEnd.Cancelled => $"{run.Recipe.Name}: stopped after {run.Steps} steps, on request",
        TrainingEnd.Diverged =>
            $"{run.Recipe.Name}: stopped after {run.Steps} steps, since the loss is not a finite number any more; "
            + "try a smaller --learning-rate",
        _ => null,
    };

    private static string Losses(TrainingStatus status) =>
        status.Step == 0 ? $"val {status.ValidationLoss:0.000}"
            : $"train {status.TrainLoss:0.000} val {status.ValidationLoss:0.000}";

    private static string Speed(TrainingStatus status) =>
        status.Step == 0 ? "" : $"{status.TokensPerSecond:N0} tokens/s, optimizer {status.OptimizerShare:0.0%}";

    private void ShowLine(string name, TrainingStatus status)
    {
        if (status.IsValidation)
        {
            _console.WriteLine($"{name} step {status.Step}/{status.Steps}: {Losses(status)} {Speed(status)}".TrimEnd());
        }
    }

    /// <summary>Beside the bar, on two lines, so that all of it fits 80 columns.</summary>
    private sealed class StatusColumn : ProgressColumn
    {
        /// <summary>Set by the training thread, read by the one that draws.</summary>
        public string Text { get; set; } = "";

        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Markup(Text);

        public override int? GetColumnWidth(RenderOptions options) => 36;
    }
}
