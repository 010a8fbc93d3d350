using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;

namespace NativeOpt.Cli.Training;

/// <summary>What <c>nativeopt train</c> leaves in a folder: losses.csv, losses.svg and sample.txt.</summary>
internal static class TrainingFiles
{
    public const string Csv = "losses.csv";
    public const string Svg = "losses.svg";
    public const string Sample = "sample.txt";

    /// <summary>The file of a trained model.</summary>
    public static string Model(string optimizer) => $"{optimizer}.safetensors";

    // Of the largest first loss: above it, a loss of a run that diverges would leave nothing to see of the others.
    private const double Ceiling = 1.5;

    /// <summary>The names and texts of all files, of runs that may have ended early, too.</summary>
    public static IEnumerable<(string Name, string Text)> Of(
        string textName, double unigramEntropy, IReadOnlyList<TrainingRun> runs) =>
    [
        (Csv, ToCsv(runs)),
        (Svg, runs.Count <= Plotting.Svg.ColorCount
            ? LineChart.Stack(Charts(textName, unigramEntropy, runs))
            : Plotting.Svg.Stack([.. Panels(textName, unigramEntropy, runs).Select(static panels => panels.Draw())])),
        (Sample, ToText(runs)),
    ];

    // Only what the seed decides, no times: equal runs leave equal files.
    private static string ToCsv(IReadOnlyList<TrainingRun> runs)
    {
        var csv = new StringBuilder("optimizer,step,learning_rate,train_loss,val_loss,gradient_evaluations,curvature\n");
        foreach (TrainingRun run in runs)
        {
            foreach (TrainingPoint point in run.Points)
            {
                csv.Append(
                    CultureInfo.InvariantCulture,
                    $"{run.Recipe.Name},{point.Step},{point.LearningRate},{point.TrainLoss},{point.ValidationLoss},");
                csv.Append(CultureInfo.InvariantCulture, $"{point.GradientEvaluations},{point.Curvature}\n");
            }
        }

        return csv.ToString();
    }

    private static List<LineChart> Charts(string textName, double unigramEntropy, IReadOnlyList<TrainingRun> runs)
    {
        // A step of a dimer may take several gradients, and they are what costs time.
        bool hasDimer = runs.Any(static run => run.Recipe.HasDimer);
        string unit = hasDimer ? "gradient evaluations" : "step";
        var chart = new LineChart($"Character-level GPT on {textName}", unit, "loss (nats per character)");
        for (int i = 0; i < runs.Count; i++)
        {
            string name = runs[i].Recipe.Name;
            chart.Add(new LineSeries($"{name}, training", runs[i].SmoothedTrainLosses(), i, Dashed: true));
            chart.Add(new LineSeries($"{name}, validation", runs[i].ValidationLosses(), i));
        }

        chart.AddReference("unigram entropy", unigramEntropy);
        if (!hasDimer)
        {
            return [chart];
        }

        var curvature = new LineChart("Curvature along the dimer's direction", unit, "curvature");
        for (int i = 0; i < runs.Count; i++)
        {
            if (runs[i].Recipe.HasDimer)
            {
                curvature.Add(new LineSeries(runs[i].Recipe.Name, runs[i].Curvatures(), i));
            }
        }

        curvature.AddReference("", 0);
        return [chart, curvature];
    }

    // With more runs than colours.
    private static IEnumerable<LinePanels> Panels(string textName, double unigramEntropy, IReadOnlyList<TrainingRun> runs)
    {
        TrainingRun[] ordered =
            [.. runs.OrderBy(static run => run.End == TrainingEnd.Diverged).ThenBy(static run => run.ValidationLoss)];
        double ceiling = Ceiling * runs.Max(static run => run.Points[0].ValidationLoss ?? 0);
        string unit = runs.Any(static run => run.Recipe.HasDimer) ? "gradient evaluations" : "steps";
        var losses = new LinePanels(
            "losses",
            $"Character-level GPT on {textName}",
            [
                $"Validation loss (nats per character) over {unit}, in the order of the last one, which stands above each. "
                    + "Grey: the others.",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Dotted: the unigram entropy, {unigramEntropy:0.000}. Losses above {ceiling:0.0} are left out."),
            ]);
        foreach (TrainingRun run in ordered)
        {
            string last = run.End == TrainingEnd.Diverged ? "diverged"
                : string.Create(CultureInfo.InvariantCulture, $"{run.ValidationLoss:0.000}");
            (double X, double Y)[] points =
                [.. run.ValidationLosses().Select(point => (point.X, point.Y <= ceiling ? point.Y : double.NaN))];
            losses.Add(new LineSeries(run.Recipe.Name, points, Color: 0), last);
        }

        losses.AddReference(unigramEntropy);
        yield return losses;
        if (!runs.Any(static run => run.Recipe.HasDimer))
        {
            yield break;
        }

        var curvatures = new LinePanels(
            "curvatures", "Curvature along the dimer's direction", [$"Over {unit}. Grey: the others."]);
        foreach (TrainingRun run in ordered.Where(static run => run.Recipe.HasDimer))
        {
            string last = string.Create(CultureInfo.InvariantCulture, $"{run.Curvature:0.###}");
            curvatures.Add(new LineSeries(run.Recipe.Name, run.Curvatures(), Color: 0), last);
        }

        yield return curvatures;
    }

    private static string ToText(IReadOnlyList<TrainingRun> runs)
    {
        var text = new StringBuilder();
        foreach (TrainingRun run in runs)
        {
            text.Append(CultureInfo.InvariantCulture, $"===== {run.Recipe.Name}, after {run.Steps} steps =====\n");
            text.Append(run.Sample).Append('\n');
        }

        return text.ToString();
    }
}
