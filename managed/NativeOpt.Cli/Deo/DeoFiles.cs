using System.Globalization;
using System.Text;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Plotting;
using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Deo;

/// <summary>What <c>nativeopt deo</c> leaves in a folder: tables and pictures.</summary>
internal static class DeoFiles
{
    public const string Table = "deo.csv";
    public const string Runs = "deo-runs.csv";
    public const string Times = "deo-times.csv";
    public const string Text = "deo.md";
    public const string Spikes = "spikes.svg";
    public const string Losses = "losses.svg";

    // Of the first loss: above it, a run that goes wrong would leave nothing to see of the others.
    private const double Ceiling = 1.5;

    /// <summary>The picture of a rule's losses.</summary>
    public static string Curves(OptimizerPreset rule) => $"curves-{rule.Name}.svg";

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(DeoResults results)
    {
        if (results.Cells.Count == 0)
        {
            yield break;
        }

        yield return (Table, TableOf(results.Cells));
        yield return (Runs, RunsOf(results));
        yield return (Times, TimesOf(results.Cells));
        yield return (Text, DeoMarkdown.Of(results));
        string seeds = FormattableString.Invariant($"Bar: mean over {results.Plan.Seeds} seeds; line: one standard deviation to both sides.");
        yield return (
            Spikes,
            Bars(results, "Spikes of the training loss", seeds, "spikes in 1,000 steps", "0.0", static cell => cell.SpikeRate));
        yield return (
            Losses,
            Bars(
                results,
                "Final validation losses",
                $"After {results.Plan.Gradients:#,0} gradients. {seeds} No bar: all runs diverged.",
                "loss (nats per character)",
                "0.000",
                static cell => cell.ValidationLoss));
        foreach (OptimizerPreset rule in results.Plan.Rules)
        {
            LineChart[] charts = [.. results.Plan.Rates(rule).Select(rate => Chart(results, rule, rate)).OfType<LineChart>()];
            if (charts.Length > 0)
            {
                yield return (Curves(rule), LineChart.Stack(charts));
            }
        }
    }

    private static string TableOf(IReadOnlyList<DeoCell> cells)
    {
        var csv = new StringBuilder(
            "optimizer,dimer,learning_rate,seeds,diverged,spikes_mean,spikes_std,spikes_per_1000_steps_mean,spikes_per_1000_steps_std,"
            + "train_loss_mean,train_loss_std,val_loss_mean,val_loss_std\n");
        foreach (DeoCell cell in cells)
        {
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{cell.Rule.Name},{cell.Variant.Name},{cell.LearningRate},{cell.Runs.Count},{cell.Diverged},");
            csv.AppendJoin(
                ',',
                ((Spread[])[cell.Spikes, cell.SpikeRate, cell.TrainLoss, cell.ValidationLoss])
                    .Select(static own => $"{Number(own.Mean)},{Number(own.StandardDeviation)}"));
            csv.Append('\n');
        }

        return csv.ToString();
    }

    private static string RunsOf(DeoResults results)
    {
        var csv = new StringBuilder(
            "optimizer,dimer,learning_rate,seed,end,steps,gradient_evaluations,updates,spikes,train_loss,val_loss,spike_steps\n");
        foreach (DeoJob job in results.Plan.Jobs)
        {
            if (results.Runs.TryGetValue(job, out DeoRun? run))
            {
                csv.Append(
                    CultureInfo.InvariantCulture, $"{job.Rule.Name},{job.Variant.Name},{job.LearningRate},{job.Seed},");
                csv.Append(
                    CultureInfo.InvariantCulture,
                    $"{run.End.ToString().ToLowerInvariant()},{run.Steps},{run.GradientEvaluations},{run.Updates},{run.Spikes.Length},");
                csv.Append(
                    CultureInfo.InvariantCulture,
                    $"{Number(run.TrainLoss)},{Number(run.ValidationLoss)},{string.Join(' ', run.Spikes)}\n");
            }
        }

        return csv.ToString();
    }

    // The losses that the time allows which the rule alone takes for all of its gradients.
    private static string TimesOf(IReadOnlyList<DeoCell> cells)
    {
        var csv = new StringBuilder(
            "optimizer,dimer,learning_rate,seconds_per_gradient,gradients_in_equal_time,train_loss_mean,train_loss_std,val_loss_mean,val_loss_std\n");
        foreach (DeoCell cell in cells)
        {
            DeoCell? alone = cells.FirstOrDefault(
                own => own.Rule == cell.Rule && own.LearningRate == cell.LearningRate && own.Variant.Options is null);
            if (alone is null)
            {
                continue;
            }

            double gradients = alone.Runs.Values.Average(static run => run.GradientEvaluations) * alone.SecondsPerGradient
                / cell.SecondsPerGradient;
            DeoRun[] runs = [.. cell.Runs.Values.Where(static run => !run.HasDiverged)];
            Spread train = Spread.Of(runs.Select(run => run.TrainLossAfter(gradients)));
            Spread validation = Spread.Of(runs.Select(run => run.ValidationLossAfter(gradients)));
            csv.Append(CultureInfo.InvariantCulture, $"{cell.Rule.Name},{cell.Variant.Name},{cell.LearningRate},");
            csv.Append(CultureInfo.InvariantCulture, $"{cell.SecondsPerGradient:G4},{gradients:0.0},");
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{Number(train.Mean)},{Number(train.StandardDeviation)},{Number(validation.Mean)},{Number(validation.StandardDeviation)}\n");
        }

        return csv.ToString();
    }

    // What diverged has no number: an empty field.
    private static string Number(double value) => double.IsFinite(value) ? value.ToString(CultureInfo.InvariantCulture) : "";

    private static string Bars(
        DeoResults results, string title, string caption, string xLabel, string format, Func<DeoCell, Spread> of)
    {
        var chart = new BarChart(
            title, [caption], xLabel, [.. results.Plan.Variants.Select(static variant => variant.Name)])
        { Format = format };
        foreach (OptimizerPreset rule in results.Plan.Rules)
        {
            foreach (double rate in results.Plan.Rates(rule))
            {
                chart.Add(
                    FormattableString.Invariant($"{rule.Name}, {rate}"),
                    [.. results.Plan.Variants.Select(variant => ToBar(Find(results, rule, rate, variant), of))]);
            }
        }

        return chart.ToSvg();
    }

    private static Bar? ToBar(DeoCell? cell, Func<DeoCell, Spread> of)
    {
        if (cell is null || !double.IsFinite(of(cell).Mean))
        {
            return null;
        }

        Spread own = of(cell);
        double deviation = double.IsFinite(own.StandardDeviation) ? own.StandardDeviation : 0;
        return new Bar(own.Mean, Math.Max(0, own.Mean - deviation), own.Mean + deviation);
    }

    private static DeoCell? Find(DeoResults results, OptimizerPreset rule, double rate, DeoVariant variant) =>
        results.Cells.FirstOrDefault(cell => cell.Rule == rule && cell.LearningRate == rate && cell.Variant == variant);

    private static LineChart? Chart(DeoResults results, OptimizerPreset rule, double rate)
    {
        (DeoVariant Variant, DeoRun Run, int Color)[] runs =
        [
            .. results.Plan.Variants.Index().Select(own => (
                    own.Item, Run: Find(results, rule, rate, own.Item)?.Runs.GetValueOrDefault(1), own.Index))
                .Where(static own => own.Run is not null).Select(static own => (own.Item, own.Run!, own.Index)),
        ];
        if (runs.Length == 0)
        {
            return null;
        }

        var chart = new LineChart(
            FormattableString.Invariant($"{rule.Name}, learning rate {rate}: training loss of seed 1, dots where a spike begins"),
            "gradient evaluations, those of the dimer included",
            "loss (nats per character)");
        double ceiling = Ceiling * runs.Max(static own => own.Run.Losses[0]);
        foreach ((DeoVariant variant, DeoRun run, int color) in runs)
        {
            (double X, double Y)[] points =
                [.. run.Losses.Select((loss, step) => ((double)run.Evaluations[step], loss <= ceiling ? loss : double.NaN))];
            string end = run.HasDiverged ? ", diverged" : "";
            chart.Add(new LineSeries($"{variant.Name}, {run.Spikes.Length} spikes{end}", points, color) { Width = 1 });
            chart.Add(new LineSeries(
                "", [.. run.Spikes.SelectMany(step => ((double, double)[])[points[step], (0, double.NaN)])], color)
            { Width = 7 });
        }

        return chart;
    }
}
