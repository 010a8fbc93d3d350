using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;

namespace NativeOpt.Cli.Hessians;

/// <summary>What <c>nativeopt hessian</c> leaves in a folder: all numbers, and pictures of the density and of the flatness.</summary>
internal static class HessianFiles
{
    public const string Eigenvalues = "eigenvalues.csv";
    public const string Density = "density.csv";
    public const string Flatness = "flatness.csv";
    public const string DensityPicture = "density.svg";
    public const string FlatnessPicture = "flatness.svg";

    private const int CurvePoints = 401;

    // Of the density's largest value: below it is what a bell's tail leaves, and no eigenvalue.
    private const double Floor = 1e-9;

    /// <summary>The names of all files.</summary>
    public static IReadOnlyList<string> All { get; } = [Eigenvalues, Density, Flatness, DensityPicture, FlatnessPicture];

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(HessianPlan plan, IReadOnlyList<HessianResult> results) =>
    [
        (Eigenvalues, EigenvaluesOf(plan, results)),
        (Density, DensityOf(results)),
        (Flatness, FlatnessOf(plan, results)),
        (DensityPicture, DensityChart(plan, results).ToSvg()),
        (FlatnessPicture, FlatnessChart(plan, results).ToSvg()),
    ];

    private static string EigenvaluesOf(HessianPlan plan, IReadOnlyList<HessianResult> results)
    {
        var csv = new StringBuilder("solution,end,rank,eigenvalue,residual\n");
        foreach (HessianResult result in results)
        {
            Append(result, "largest", result.Largest);
            Append(result, "smallest", result.Pairs);
        }

        return csv.ToString();

        void Append(HessianResult result, string end, IEnumerable<RitzPair> pairs)
        {
            foreach ((int i, RitzPair pair) in pairs.Take(plan.Eigenvalues).Index())
            {
                csv.Append(CultureInfo.InvariantCulture, $"{Name(result)},{end},{i + 1},{pair.Value},{pair.Residual}\n");
            }
        }
    }

    private static string DensityOf(IReadOnlyList<HessianResult> results)
    {
        var csv = new StringBuilder("solution,eigenvalue,density\n");
        foreach (HessianResult result in results)
        {
            foreach ((double eigenvalue, double density) in result.Density.Curve(CurvePoints))
            {
                csv.Append(CultureInfo.InvariantCulture, $"{Name(result)},{eigenvalue},{density}\n");
            }
        }

        return csv.ToString();
    }

    private static string FlatnessOf(HessianPlan plan, IReadOnlyList<HessianResult> results)
    {
        var csv = new StringBuilder("solution,direction,distance,loss\n");
        foreach (HessianResult result in results)
        {
            foreach ((int direction, IReadOnlyList<double> line) in result.Lines.Index())
            {
                foreach ((double distance, double loss) in plan.Distances.Zip(line))
                {
                    csv.Append(CultureInfo.InvariantCulture, $"{Name(result)},{direction + 1},{distance},{loss}\n");
                }
            }
        }

        return csv.ToString();
    }

    // A name of a file may hold a comma.
    private static string Name(HessianResult result) =>
        result.Name.AsSpan().IndexOfAny(",\"\r\n") < 0 ? result.Name
            : $"\"{result.Name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private static LineChart DensityChart(HessianPlan plan, IReadOnlyList<HessianResult> results)
    {
        var chart = new LineChart(
            $"Eigenvalues of the Hessian ({plan.Probes} probes of {plan.DensitySteps} Lanczos steps)", "eigenvalue", "density")
        {
            IsYLogarithmic = true,
        };
        foreach (HessianResult result in results)
        {
            IReadOnlyList<(double Eigenvalue, double Density)> curve = result.Density.Curve(CurvePoints);
            double floor = Floor * curve.Max(static point => point.Density);
            chart.Add(result.Name, [.. curve.Select(point => (point.Eigenvalue, point.Density > floor ? point.Density : double.NaN))]);
        }

        return chart;
    }

    private static LineChart FlatnessChart(HessianPlan plan, IReadOnlyList<HessianResult> results)
    {
        string kind = plan.FilterNormalisation ? "filter-normalised" : "unit";
        var chart = new LineChart(
            $"Loss around the solutions: mean of {plan.Directions} random {kind} directions", "distance ζ along the direction",
            "loss (nats per character)");
        foreach (HessianResult result in results)
        {
            chart.Add(result.Name, [.. plan.Distances.Zip(result.MeanLine)]);
        }

        return chart;
    }
}
