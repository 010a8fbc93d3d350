using System.Globalization;
using System.Text;
using NativeOpt.Cli.Plotting;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>What <c>nativeopt landscape escape</c> leaves in a folder.</summary>
internal static class EscapeFiles
{
    public const string Times = "escape.csv";
    public const string Picture = "escape.svg";

    /// <summary>The names and texts of all files.</summary>
    public static IEnumerable<(string Name, string Text)> Of(
        EscapePlan plan, IReadOnlyList<EscapeMeasurement> wells, IReadOnlyList<EscapeLaw> laws) =>
    [
        (Times, TimesOf(wells)),
        (Picture, LineChart.Stack([TimesChart(plan, wells), LawChart(laws)])),
    ];

    private static string TimesOf(IReadOnlyList<EscapeMeasurement> wells)
    {
        var csv = new StringBuilder("optimizer,curvature,barrier,noise,learning_rate,escapes,mean_time,low,high\n");
        foreach (EscapeMeasurement well in wells)
        {
            EscapeCell cell = well.Cell;
            csv.Append(
                CultureInfo.InvariantCulture,
                $"{cell.Rule.Name},{cell.Curvature},{cell.Barrier},{cell.Noise},{cell.LearningRate},{well.Escapes},");
            csv.Append(
                CultureInfo.InvariantCulture, $"{well.MeanTime.Value},{well.MeanTime.Low},{well.MeanTime.High}\n");
        }

        return csv.ToString();
    }

    private static LineChart TimesChart(EscapePlan plan, IReadOnlyList<EscapeMeasurement> wells)
    {
        var chart = new LineChart(
            string.Create(
                CultureInfo.InvariantCulture, $"Mean escape times over barriers of three heights ({plan.Starts:N0} starts each)"),
            "curvature H",
            "mean escape time (steps)")
        {
            IsXLogarithmic = true,
            IsYLogarithmic = true,
        };
        double middle = EscapePlan.Barriers[EscapePlan.Barriers.Count / 2];
        foreach ((int i, EscapeRule rule) in plan.Rules.Index())
        {
            foreach (double barrier in EscapePlan.Barriers)
            {
                (double, double)[] points =
                [
                    .. wells.Where(well => well.Cell.Rule == rule && well.Cell.Barrier == barrier)
                        .Select(static well => (well.Cell.Curvature, well.MeanTime.Value)),
                ];
                chart.Add(new LineSeries(
                    FormattableString.Invariant($"{rule.Name}, {barrier}"), points, i, Dashed: barrier != middle));
            }
        }

        return chart;
    }

    private static LineChart LawChart(IReadOnlyList<EscapeLaw> laws)
    {
        var chart = new LineChart(
            "One over the temperature, ∂log τ/∂ΔL, with its 95 % interval (dashed)", "curvature H", "∂log τ/∂ΔL")
        {
            IsXLogarithmic = true,
            IsYLogarithmic = true,
        };
        foreach ((int i, EscapeLaw law) in laws.Index())
        {
            string power = string.Create(
                CultureInfo.InvariantCulture,
                $"{law.Rule.Name}: H^{law.Power.Value:0.00} [{law.Power.Low:0.00}, {law.Power.High:0.00}]");
            chart.Add(new LineSeries(power, [.. law.Curvatures.Zip(law.Sensitivities, static (x, y) => (x, y.Value))], i));
            (double, double)[] interval =
            [
                .. law.Curvatures.Zip(law.Sensitivities, static (x, y) => (x, y.Low)),
                (double.NaN, double.NaN),
                .. law.Curvatures.Zip(law.Sensitivities, static (x, y) => (x, y.High)),
            ];
            chart.Add(new LineSeries($"{law.Rule.Name}, interval", interval, i, Dashed: true));
        }

        return chart;
    }
}
