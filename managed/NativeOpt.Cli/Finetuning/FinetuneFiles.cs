using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;
using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Finetuning;

/// <summary>What <c>nativeopt finetune</c> leaves in a folder: all numbers, a table for people, and a picture.</summary>
internal static class FinetuneFiles
{
    public const string Losses = "finetune.csv";
    public const string Rates = "rates.csv";
    public const string Table = "finetune.md";
    public const string Picture = "finetune.svg";

    /// <summary>The names of all files.</summary>
    public static IReadOnlyList<string> All { get; } = [Losses, Rates, Table, Picture];

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(
        FinetunePlan plan, string textName, IReadOnlyList<FinetuneResult> results) =>
    [
        (Losses, LossesOf(results)),
        (Rates, RatesOf(results)),
        (Table, TableOf(plan, textName, results)),
        (Picture, LineChart.Stack(
        [
            Chart(
                plan, results, $"Fine-tuning on {textName}: training loss", "loss (nats per character)",
                static point => point.TrainingLoss),
            Chart(plan, results, "Validation perplexity", "perplexity per character", static point => point.Perplexity, true),
            Chart(
                plan, results, "Generalisation gap: validation loss − training loss", "gap (nats per character)",
                static point => point.Gap),
        ])),
    ];

    /// <summary>A mean with its standard deviation, as tables have it.</summary>
    public static string Text(Spread spread) => FormattableString.Invariant($"{spread.Mean:0.0000}")
        + (double.IsNaN(spread.StandardDeviation) ? "" : FormattableString.Invariant($" ± {spread.StandardDeviation:0.0000}"));

    /// <summary>A difference with its interval, in a sentence.</summary>
    public static string Text(FinetuneComparison own) => FormattableString.Invariant(
        $"{own.Name} − {own.Other}, {own.What}: {own.Difference.Value:0.0000} [{own.Difference.Low:0.0000}, {own.Difference.High:0.0000}]");

    private static string LossesOf(IReadOnlyList<FinetuneResult> results)
    {
        var csv = new StringBuilder(
            "optimizer,seed,learning_rate,epoch,training_loss,held_out_loss,validation_loss,validation_perplexity,generalization_gap\n");
        foreach (FinetuneResult result in results)
        {
            foreach (FinetuneRun run in result.Runs)
            {
                foreach (FinetunePoint point in run.Points)
                {
                    csv.Append(
                        CultureInfo.InvariantCulture,
                        $"{result.Name},{run.Seed},{run.LearningRate},{point.Epoch},{point.TrainingLoss},{point.HeldOutLoss},");
                    csv.Append(CultureInfo.InvariantCulture, $"{point.ValidationLoss},{point.Perplexity},{point.Gap}\n");
                }
            }
        }

        return csv.ToString();
    }

    private static string RatesOf(IReadOnlyList<FinetuneResult> results)
    {
        var csv = new StringBuilder("optimizer,learning_rate,held_out_loss,chosen\n");
        foreach (FinetuneResult result in results)
        {
            foreach (FinetuneRun run in result.Tried)
            {
                string loss = run.IsDiverged ? "diverged" : run.HeldOutLoss.ToString(CultureInfo.InvariantCulture);
                string chosen = run.LearningRate == result.LearningRate ? "yes" : "no";
                csv.Append(CultureInfo.InvariantCulture, $"{result.Name},{run.LearningRate},{loss},{chosen}\n");
            }
        }

        return csv.ToString();
    }

    private static string TableOf(FinetunePlan plan, string textName, IReadOnlyList<FinetuneResult> results)
    {
        var table = new StringBuilder();
        table.Append(
            CultureInfo.InvariantCulture,
            $"Fine-tuning on {textName}, after {plan.Epochs} epochs; mean ± standard deviation over {results[0].Runs.Count} seeds.\n\n");
        table.Append("| optimizer | learning rate | training loss | validation loss | validation perplexity | generalisation gap |\n");
        table.Append("| --- | ---: | ---: | ---: | ---: | ---: |\n");
        foreach (FinetuneResult result in results)
        {
            string[] cells = result.IsComplete
                ? [.. Columns(result, plan.Epochs).Select(Text)] : ["diverged", "diverged", "diverged", "diverged"];
            table.Append(
                CultureInfo.InvariantCulture, $"| `{result.Name}` | {result.LearningRate} | {string.Join(" | ", cells)} |\n");
        }

        IReadOnlyList<FinetuneComparison> comparisons = FinetuneComparison.All(results);
        table.Append(comparisons.Count > 0 ? "\nMean differences by seed, with 95 % bootstrap intervals:\n\n" : "");
        foreach (FinetuneComparison comparison in comparisons)
        {
            table.Append("- ").Append(Text(comparison)).Append('\n');
        }

        return table.ToString();
    }

    /// <summary>The numbers of a table's row.</summary>
    public static IEnumerable<Spread> Columns(FinetuneResult result, int epoch) =>
    [
        result.At(epoch, static point => point.TrainingLoss),
        result.At(epoch, static point => point.ValidationLoss),
        result.At(epoch, static point => point.Perplexity),
        result.At(epoch, static point => point.Gap),
    ];

    private static LineChart Chart(
        FinetunePlan plan, IReadOnlyList<FinetuneResult> results, string title, string label, Func<FinetunePoint, double> number,
        bool isLogarithmic = false)
    {
        var chart = new LineChart(title, "epoch", label) { IsYLogarithmic = isLogarithmic };
        foreach ((int i, FinetuneResult result) in results.Index())
        {
            if (result.IsComplete)
            {
                Spread[] spreads = [.. Enumerable.Range(0, plan.Epochs + 1).Select(epoch => result.At(epoch, number))];
                string count = result.Runs.Count > 1 ? $" (mean ± std, {result.Runs.Count} seeds)" : "";
                chart.Add(new LineSeries(
                    result.Name + count,
                    [.. spreads.Select(static (spread, epoch) => ((double)epoch, spread.Mean))],
                    i)
                {
                    Spreads = result.Runs.Count > 1 ? [.. spreads.Select(static spread => spread.StandardDeviation)] : null,
                });
            }
        }

        return chart;
    }
}
