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

    /// <summary>The names and texts of all files, of runs that may have ended early, too.</summary>
    public static IEnumerable<(string Name, string Text)> Of(
        string textName, double unigramEntropy, IReadOnlyList<TrainingRun> runs) =>
    [
        (Csv, ToCsv(runs)),
        (Svg, LineChart.Stack(Charts(textName, unigramEntropy, runs))),
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
