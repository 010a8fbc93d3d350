using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;

namespace NativeOpt.Cli.Landscapes;

/// <summary>What <c>nativeopt landscape</c> leaves in a folder: the table of the ends, all paths, and a picture of each landscape.
/// </summary>
internal static class LandscapeFiles
{
    public const string Ends = "ends.csv";
    public const string Paths = "paths.csv";

    /// <summary>The picture of a landscape.</summary>
    public static string Picture(Landscape landscape) => $"{landscape.Name}.svg";

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(LandscapePlan plan, IReadOnlyList<LandscapeRun> runs)
    {
        yield return (Ends, EndsOf(runs));
        yield return (Paths, PathsOf(runs));
        foreach (Landscape landscape in plan.Landscapes)
        {
            yield return (Picture(landscape), Panels(plan, landscape, [.. runs.Where(run => run.Landscape == landscape)]).ToSvg());
        }
    }

    /// <summary>How files and JSON documents write an outcome.</summary>
    public static string Outcome(LandscapeRun run) => run.HasLeft ? "left" : "completed";

    /// <summary>A number with so many decimals at most, for people: what rounds to 0 has no sign.</summary>
    public static string Number(double value, int decimals) =>
        (Math.Round(value, decimals) + 0.0).ToString("#,0.######", CultureInfo.InvariantCulture);

    private static string EndsOf(IReadOnlyList<LandscapeRun> runs)
    {
        var csv = new StringBuilder(
            "function,optimizer,learning_rate,outcome,steps,gradient_evaluations,x,y,loss,gradient_norm,sharpness\n");
        foreach (LandscapeRun run in runs)
        {
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{run.Landscape.Name},{run.Recipe.Name},{run.LearningRate},{Outcome(run)},{run.Steps},{run.GradientEvaluations},");
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{run.End.X},{run.End.Y},{run.End.Loss},{run.EndGradient},{run.Sharpness}\n");
        }

        return csv.ToString();
    }

    private static string PathsOf(IReadOnlyList<LandscapeRun> runs)
    {
        var csv = new StringBuilder("function,optimizer,step,x,y,loss\n");
        foreach (LandscapeRun run in runs)
        {
            for (int step = 0; step < run.Points.Count; step++)
            {
                LandscapePoint point = run.Points[step];
                csv.Append(
                    CultureInfo.InvariantCulture,
                    $"{run.Landscape.Name},{run.Recipe.Name},{step},{point.X},{point.Y},{point.Loss}\n");
            }
        }

        return csv.ToString();
    }

    private static PathPanels Panels(LandscapePlan plan, Landscape landscape, LandscapeRun[] runs)
    {
        (double x, double y) = plan.StartOn(landscape);
        string noise = plan.Noise == 0 ? "" : string.Create(
            CultureInfo.InvariantCulture, $", with noise of {plan.Noise} mean gradients (seed {plan.Seed})");
        string rates = plan.LearningRate is double rate
            ? string.Create(CultureInfo.InvariantCulture, $"Learning rate {rate} for all")
            : string.Create(CultureInfo.InvariantCulture, $"Learning rates: {plan.RateFactor} times the default of each rule");
        var panels = new PathPanels(
            string.Create(CultureInfo.InvariantCulture, $"{plan.Steps:N0} steps on {landscape.Name} from ({x}, {y})"),
            [
                landscape.Equation,
                $"{rates}{noise}. Lines of equal loss, blue where it is low. Ring: start; dot: end; cross: left the square.",
                "In the order of the loss at the end; those that left the square come last.",
            ],
            landscape.HalfWidth,
            (atX, atY) => landscape.Evaluate(atX, atY).Loss);
        foreach (LandscapeRun run in runs.OrderBy(static run => run.HasLeft).ThenBy(static run => run.End.Loss))
        {
            panels.Add(new PathPanel(
                run.Recipe.Name,
                $"loss {ForNote(run.End.Loss)}, sharpness {ForNote(run.Sharpness)}",
                [.. run.Points.Select(static point => (point.X, point.Y))],
                run.HasLeft));
        }

        return panels;

        // Two of them fit the width of a panel.
        static string ForNote(double value) => Number(value, Math.Abs(value) < 100 ? 2 : 1);
    }
}
