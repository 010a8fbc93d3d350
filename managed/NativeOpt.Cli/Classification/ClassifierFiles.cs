using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;
using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Classification;

/// <summary>What <c>nativeopt classify</c> leaves in a folder: the table, the learning rates that were tried, all epochs, and pictures.
/// </summary>
internal static class ClassifierFiles
{
    public const string Table = "classify.csv";
    public const string Page = "classify.md";
    public const string Rates = "rates.csv";
    public const string Epochs = "epochs.csv";
    public const string AccuracyPicture = "accuracy.svg";
    public const string ErrorPicture = "errors.svg";

    // Per cent below the best last accuracy: what the first epochs have below would leave nothing to see of the last ones.
    private const double Range = 10;

    /// <summary>The names of all files.</summary>
    public static IReadOnlyList<string> All { get; } = [Table, Page, Rates, Epochs, AccuracyPicture, ErrorPicture];

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results) =>
    [
        (Table, TableOf(plan, results)),
        (Page, PageOf(plan, results)),
        (Rates, RatesOf(results)),
        (Epochs, EpochsOf(results)),
        (AccuracyPicture, AccuracyChart(plan, results)),
        (ErrorPicture, ErrorChart(plan, results).ToSvg()),
    ];

    /// <summary>The heading of the pictures.</summary>
    public static string Title(ClassifierPlan plan) =>
        FormattableString.Invariant($"{plan.Images.Name}: {plan.TrainImages:N0} training images")
        + (plan.LabelNoise > 0 ? FormattableString.Invariant($", {plan.LabelNoise:0.#%} wrong labels") : "");

    private static string TableOf(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results)
    {
        var csv = new StringBuilder(
            "optimizer,learning_rate,seeds,diverged,train_accuracy,train_std,test_accuracy,test_std,gap,gap_std,difference,low,high,"
            + "switched_tensors\n");
        ClassifierResult reference = ClassifierResult.Reference(results);
        foreach (ClassifierResult result in results)
        {
            Estimate? difference = result.Difference(reference, plan.Seed);
            csv.Append(CultureInfo.InvariantCulture, $"{result.Name},{result.Choice.LearningRate},{result.Runs.Count},{result.Diverged},");
            foreach (Spread own in (Spread[])[result.TrainAccuracy, result.TestAccuracy, result.Gap])
            {
                csv.Append(CultureInfo.InvariantCulture, $"{own.Mean},{own.StandardDeviation},");
            }

            csv.Append(CultureInfo.InvariantCulture, $"{difference?.Value},{difference?.Low},{difference?.High},");
            csv.Append(CultureInfo.InvariantCulture, $"{result.Runs.Sum(static own => own.Run.SwitchedTensors)}\n");
        }

        return csv.ToString();
    }

    private static string PageOf(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results)
    {
        ClassifierResult reference = ClassifierResult.Reference(results);
        var page = new StringBuilder(
            $"| optimizer | learning rate | train accuracy, % | test accuracy, % | gap, % | test less {Name(reference)}, % |\n"
            + "| --- | ---: | ---: | ---: | ---: | ---: |\n");
        foreach (ClassifierResult result in results)
        {
            page.Append(
                $"| {Name(result)} | {ClassifierView.Rate(result.Choice)} "
                + $"| {ClassifierView.Percent(result.TrainAccuracy)} | {ClassifierView.Percent(result.TestAccuracy)} "
                + $"| {ClassifierView.Percent(result.Gap)} | {ClassifierView.Difference(plan, result, reference)} |\n");
        }

        return page.ToString();

        string Name(ClassifierResult result) => plan.HasRuleNames ? $"`{result.Name}`" : result.Name;
    }

    private static string RatesOf(IReadOnlyList<ClassifierResult> results)
    {
        var csv = new StringBuilder("optimizer,learning_rate,held_out_accuracy,is_chosen\n");
        foreach (ClassifierResult result in results)
        {
            foreach (TriedRate tried in result.Choice.Tried)
            {
                csv.Append(CultureInfo.InvariantCulture, $"{result.Name},{tried.LearningRate},{tried.Accuracy},");
                csv.Append(tried.LearningRate == result.Choice.LearningRate ? "1\n" : "0\n");
            }
        }

        return csv.ToString();
    }

    private static string EpochsOf(IReadOnlyList<ClassifierResult> results)
    {
        var csv = new StringBuilder("optimizer,learning_rate,seed,epoch,train_loss,test_loss,test_accuracy\n");
        foreach (ClassifierResult result in results)
        {
            foreach (SeedRun own in result.Runs)
            {
                foreach ((int i, ClassifierEpoch epoch) in own.Run.Epochs.Index())
                {
                    csv.Append(CultureInfo.InvariantCulture, $"{result.Name},{result.Choice.LearningRate},{own.Seed},{i + 1},");
                    csv.Append(CultureInfo.InvariantCulture, $"{epoch.TrainLoss},{epoch.Loss},{epoch.Accuracy}\n");
                }
            }
        }

        return csv.ToString();
    }

    // One chart while there are colours, and a panel for each optimizer beyond.
    private static string AccuracyChart(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results)
    {
        double floor = (100 * results.Max(static result => result.TestAccuracy.Mean)) - Range;
        if (results.Count <= Svg.ColorCount)
        {
            var chart = new LineChart(
                Title(plan),
                "epoch",
                string.Create(CultureInfo.InvariantCulture, $"test accuracy, % (mean of the seeds; less than {floor:0.0} is left out)"));
            foreach (ClassifierResult result in results)
            {
                chart.Add(result.Name, MeanAccuracies(result, floor));
            }

            return chart.ToSvg();
        }

        var panels = new LinePanels(
            "accuracies",
            Title(plan),
            [
                "Test accuracy in % over epochs, mean of the seeds, in the order of the last one, which stands above each.",
                string.Create(CultureInfo.InvariantCulture, $"Grey: the others. Less than {floor:0.0} is left out."),
            ]);
        foreach (ClassifierResult result in results.OrderByDescending(static result => result.TestAccuracy.Mean))
        {
            string last = result.Diverged > 0 ? "diverged"
                : string.Create(CultureInfo.InvariantCulture, $"{100 * result.TestAccuracy.Mean:0.00}");
            panels.Add(new LineSeries(result.Name, MeanAccuracies(result, floor), Color: 0), last);
        }

        return panels.Draw().Svg;
    }

    private static List<(double Epoch, double Accuracy)> MeanAccuracies(ClassifierResult result, double floor)
    {
        List<(double, double)> means = [];
        int epochs = result.Runs.Min(static own => own.Run.Epochs.Count);
        for (int epoch = 0; epoch < epochs; epoch++)
        {
            double mean = 100 * result.Runs.Average(own => own.Run.Epochs[epoch].Accuracy);
            means.Add((epoch + 1, mean < floor ? double.NaN : mean));
        }

        return means;
    }

    private static BarChart ErrorChart(ClassifierPlan plan, IReadOnlyList<ClassifierResult> results)
    {
        var chart = new BarChart(
            $"Test error and generalisation gap, {Title(plan)}",
            [$"Means over {ClassifierView.Seeds(results)}; the lines are a standard deviation to each side."],
            "%",
            ["test error", "gap"]);
        foreach (ClassifierResult result in results)
        {
            chart.Add(result.Name, [Bar(1 - result.TestAccuracy.Mean, result.TestAccuracy), Bar(result.Gap.Mean, result.Gap)]);
        }

        return chart;
    }

    // Bars begin at 0: a gap below it has none.
    private static Bar? Bar(double value, Spread spread)
    {
        double deviation = double.IsNaN(spread.StandardDeviation) ? 0 : spread.StandardDeviation;
        return double.IsNaN(value) ? null
            : new Bar(100 * Math.Max(0, value), 100 * Math.Max(0, value - deviation), 100 * Math.Max(0, value + deviation));
    }
}
