using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;

namespace NativeOpt.Cli.Saddles;

/// <summary>What <c>nativeopt saddle</c> leaves in a folder: the table, all runs, and pictures.</summary>
internal static class SaddleFiles
{
    public const string Table = "saddle.csv";
    public const string Runs = "runs.csv";
    public const string Picture = "saddle.svg";

    /// <summary>The picture of a problem's losses.</summary>
    public static string Losses(SaddleProblem problem) => $"losses-{problem.Name}.svg";

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(SaddlePlan plan, IReadOnlyList<SaddleCell> cells)
    {
        yield return (Table, TableOf(cells));
        yield return (Runs, RunsOf(cells));
        yield return (Picture, Chart(plan, cells).ToSvg());
        foreach (SaddleProblem problem in plan.Problems)
        {
            LineChart[] charts =
            [
                .. plan.Rules.Select(rule => (
                        Rule: rule, Cells: cells.Where(cell => cell.Problem == problem && cell.Rule == rule).ToArray()))
                    .Where(static chart => chart.Cells.Length > 0)
                    .Select(chart => LossChart(problem, chart.Rule, chart.Cells)),
            ];
            if (charts.Length > 0)
            {
                yield return (Losses(problem), LineChart.Stack(charts));
            }
        }
    }

    /// <summary>How files and JSON documents write an outcome.</summary>
    public static string Name(SaddleOutcome outcome) => outcome switch
    {
        SaddleOutcome.Left => "left",
        SaddleOutcome.NotWithin => "not_within",
        _ => "diverged",
    };

    private static string TableOf(IReadOnlyList<SaddleCell> cells)
    {
        var csv = new StringBuilder("problem,optimizer,dimer,learning_rate,outcome,median,smallest,largest,starts,left\n");
        foreach (SaddleCell cell in cells)
        {
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{cell.Problem.Name},{cell.Rule.Name},{cell.Dimer.Name},{cell.LearningRate},{Name(cell.Outcome)},");
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{Number(cell.Cost)},{Number(cell.SmallestCost)},{Number(cell.LargestCost)},{cell.Best.Count},");
            csv.Append(
                CultureInfo.InvariantCulture, $"{cell.Best.Count(static run => run.Outcome == SaddleOutcome.Left)}\n");
        }

        return csv.ToString();
    }

    private static string RunsOf(IReadOnlyList<SaddleCell> cells)
    {
        var csv = new StringBuilder("problem,optimizer,dimer,learning_rate,start,outcome,gradient_evaluations,steps\n");
        foreach (SaddleCell cell in cells)
        {
            foreach (IReadOnlyList<SaddleRun> ofRate in cell.Runs)
            {
                for (int start = 0; start < ofRate.Count; start++)
                {
                    SaddleRun run = ofRate[start];
                    csv.Append(
                        CultureInfo.InvariantCulture,
                        $"{cell.Problem.Name},{cell.Rule.Name},{cell.Dimer.Name},{run.LearningRate},{start},");
                    csv.Append(
                        CultureInfo.InvariantCulture, $"{Name(run.Outcome)},{run.GradientEvaluations},{run.Steps}\n");
                }
            }
        }

        return csv.ToString();
    }

    // What is infinite is no number: an empty field.
    private static string Number(double value) =>
        double.IsFinite(value) ? value.ToString(CultureInfo.InvariantCulture) : "";

    private static DotChart Chart(SaddlePlan plan, IReadOnlyList<SaddleCell> cells)
    {
        var chart = new DotChart(
            "Gradient evaluations to leave a saddle point",
            [
                $"Dot: median of {plan.Starts} starts, each optimizer at its best learning rate; line: the range. Ring: the "
                    + "direction is the exact one. Dotted line: the rule alone.",
                "Triangle: has not left when the gradients were used up; cross: diverged.",
            ],
            "gradient evaluations, those of the dimer included",
            [.. plan.Problems.Select(static problem => problem.Name)],
            plan.Budget);
        foreach (SaddleRule rule in plan.Rules)
        {
            chart.Add(rule.Name, [.. plan.Dimers.Select(dimer => new DotRow(
                dimer.Name,
                dimer.Color,
                dimer.IsExact,
                [.. plan.Problems.Select(problem => ToDot(Find(cells, problem, rule, dimer)))]))]);
        }

        return chart;
    }

    /// <summary>The cell of a row and a column; null if there is none.</summary>
    public static SaddleCell? Find(
        IReadOnlyList<SaddleCell> cells, SaddleProblem problem, SaddleRule rule, SaddleDimer dimer) =>
        cells.SingleOrDefault(cell => cell.Problem == problem && cell.Rule == rule && cell.Dimer == dimer);

    private static Dot? ToDot(SaddleCell? cell) => cell is null
        ? null
        : new Dot(cell.Cost, cell.SmallestCost, cell.LargestCost, cell.Outcome == SaddleOutcome.Diverged);

    private static LineChart LossChart(SaddleProblem problem, SaddleRule rule, IReadOnlyList<SaddleCell> cells)
    {
        var chart = new LineChart(
            $"{problem.Name}, {rule.Name}: the loss from the first start", "gradient evaluations", "loss");

        // Twice as far as the slowest that left: those that never do show it by then.
        double longest = cells.Select(static cell => cell.Best[0].Cost).Where(double.IsFinite)
            .DefaultIfEmpty(double.PositiveInfinity).Max() * 2;
        foreach (SaddleCell cell in cells)
        {
            // Higher than it fell, a loss would leave nothing to see of the others.
            (double X, double Y)[] points =
            [
                .. cell.Best[0].Losses.Where(point => point.Evaluations <= longest).Select(point => (
                    point.Evaluations,
                    point.Loss <= problem.SaddleLoss + (problem.Depth / 2) ? point.Loss : double.NaN)),
            ];
            string name = FormattableString.Invariant($"{cell.Dimer.Name} ({cell.LearningRate})");
            chart.Add(new LineSeries(name, points, cell.Dimer.Color, cell.Dimer.IsExact));
        }

        chart.AddReference("left", problem.Goal);
        return chart;
    }
}
