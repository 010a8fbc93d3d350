using System.Globalization;
using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>What a <see cref="DotChart"/> shows in one panel of a row.</summary>
/// <param name="Value">The value; infinite: beyond the limit.</param>
/// <param name="Low">The smallest value of the range around it.</param>
/// <param name="High">The largest; infinite: beyond the limit.</param>
/// <param name="Cross">Whether a value beyond the limit is a cross rather than a triangle.</param>
internal readonly record struct Dot(double Value, double Low, double High, bool Cross = false);

/// <summary>A row of a <see cref="DotChart"/>.</summary>
/// <param name="Label">What stands before it.</param>
/// <param name="Color">An index into the palette.</param>
/// <param name="IsHollow">Whether its dots are rings.</param>
/// <param name="Dots">What it shows in each panel; null: nothing.</param>
internal sealed record DotRow(string Label, int Color, bool IsHollow, IReadOnlyList<Dot?> Dots);

/// <summary>
/// Draws rows of dots beside each other in panels, over logarithms, into an SVG picture that needs nothing else. What is
/// beyond the limit stands in a lane of its own, so that nobody takes it for a number. The first row of each group is what
/// its other rows are to be compared with: a dotted line goes down from its dots.
/// </summary>
/// <param name="title">The heading.</param>
/// <param name="caption">What the marks mean, a line each.</param>
/// <param name="xLabel">What the horizontal axes show.</param>
/// <param name="panels">The panels' headings.</param>
/// <param name="limit">The largest value that the axes show.</param>
internal sealed class DotChart(
    string title, IReadOnlyList<string> caption, string xLabel, IReadOnlyList<string> panels, double limit)
{
    private const double Left = 206;
    private const double PanelWidth = 196;
    private const double LaneWidth = 34;
    private const double PanelGap = 18;
    private const double RowHeight = 17;
    private const double GroupGap = 14;
    private const double LineHeight = 17;
    private const double AxisHeight = 58;
    private const double Radius = 4;
    private const string Grid = "#e3e5e8";
    private const string Lane = "#f1f2f4";

    private readonly List<(string Name, IReadOnlyList<DotRow> Rows)> _groups = [];

    /// <summary>Adds rows under a name.</summary>
    public void Add(string group, IReadOnlyList<DotRow> rows) => _groups.Add((group, rows));

    /// <summary>The picture.</summary>
    public string ToSvg()
    {
        double top = 66 + (caption.Count * LineHeight);
        double bottom = top + _groups.Sum(static group => (group.Rows.Count * RowHeight) + GroupGap);
        double width = Left + (panels.Count * (PanelWidth + LaneWidth + PanelGap)) + 6;
        var svg = new StringBuilder();
        Svg.Begin(svg, width, bottom + AxisHeight, title);
        Svg.Heading(svg, 16, 30, title);
        for (int i = 0; i < caption.Count; i++)
        {
            Svg.Text(svg, 16, 50 + (i * LineHeight), caption[i], "start", Svg.FaintInk);
        }

        double first = First();
        for (int panel = 0; panel < panels.Count; panel++)
        {
            DrawPanel(svg, panel, first, top, bottom);
        }

        Svg.Text(svg, (Left + width) / 2, bottom + 44, xLabel, "middle", Svg.Ink);
        double y = top;
        foreach ((string name, IReadOnlyList<DotRow> rows) in _groups)
        {
            DrawGroup(svg, name, rows, y + (GroupGap / 2), first);
            y += (rows.Count * RowHeight) + GroupGap;
            if (y < bottom)
            {
                Svg.Line(svg, $"""<path d="M16 {y:0.##}H{width - 16:0.##}" stroke="{Svg.FaintInk}" stroke-opacity="0.5"/>""");
            }
        }

        Svg.End(svg);
        return svg.ToString();
    }

    private static double PanelLeft(int panel) => Left + (panel * (PanelWidth + LaneWidth + PanelGap));

    /// <summary>The power of ten where the axes begin.</summary>
    private double First()
    {
        double smallest = _groups.SelectMany(static group => group.Rows).SelectMany(static row => row.Dots)
            .Select(static dot => dot?.Low ?? double.PositiveInfinity).Append(limit / 10).Min();
        return Math.Pow(10, Math.Floor(Math.Log10(Math.Max(1, smallest))));
    }

    /// <summary>Where a value is, from the panel's left edge; values beyond the limit are in the middle of the lane.</summary>
    private double Place(double value, double first) =>
        value > limit ? PanelWidth + (LaneWidth / 2)
            : PanelWidth * Math.Max(0, Math.Log10(value / first)) / Math.Log10(limit / first);

    private void DrawPanel(StringBuilder svg, int panel, double first, double top, double bottom)
    {
        double left = PanelLeft(panel);
        Svg.Text(
            svg, left, top - 10, panels[panel], "start", Svg.Ink, """font-size="13" font-weight="600" """);
        Svg.Line(svg, $"""
            <rect x="{left + PanelWidth:0.##}" y="{top:0.##}" width="{LaneWidth}" height="{bottom - top:0.##}" fill="{Lane}"/>
            """);
        for (double tick = first; tick <= limit; tick *= 10)
        {
            double x = left + Place(tick, first);
            Svg.Line(svg, $"""<path d="M{x:0.##} {top:0.##}V{bottom:0.##}" stroke="{Grid}"/>""");
            Svg.Text(
                svg, x, bottom + 17, tick.ToString("#,0", CultureInfo.InvariantCulture), "middle", Svg.FaintInk);
        }

        Svg.Line(svg, $"""<path d="M{left:0.##} {bottom:0.##}h{PanelWidth + LaneWidth}" stroke="{Svg.FaintInk}"/>""");
        Svg.Text(
            svg, left + PanelWidth + LaneWidth, top - 10, limit.ToString(">#,0", CultureInfo.InvariantCulture), "end",
            Svg.FaintInk);
    }

    private void DrawGroup(StringBuilder svg, string name, IReadOnlyList<DotRow> rows, double top, double first)
    {
        Svg.Text(svg, 16, top + (RowHeight / 2) + 4, name, "start", Svg.Ink, """font-weight="600" """);
        for (int i = 0; i < rows.Count; i++)
        {
            double y = top + ((i + 0.5) * RowHeight);
            Svg.Text(svg, Left - 12, y + 4, rows[i].Label, "end", Svg.Ink);
            for (int panel = 0; panel < panels.Count; panel++)
            {
                if (rows[i].Dots[panel] is not { } dot)
                {
                    Svg.Text(svg, PanelLeft(panel) + 2, y + 4, "n/a", "start", Svg.FaintInk, """font-size="10" """);
                    continue;
                }

                double x = PanelLeft(panel) + Place(dot.Value, first);
                if (i == 0 && double.IsFinite(dot.Value))
                {
                    Svg.Line(svg, $"""
                        <path d="M{x:0.##} {y:0.##}v{(rows.Count - 1) * RowHeight}" stroke="{Svg.FaintInk}"
                          stroke-dasharray="1.5 3"/>
                        """);
                }

                DrawDot(svg, name, rows[i], dot, panel, y, first);
            }
        }
    }

    private void DrawDot(StringBuilder svg, string group, DotRow row, Dot dot, int panel, double y, double first)
    {
        const double size = 2 * Radius;
        string color = Svg.Color(row.Color);
        string fill = row.IsHollow ? "#ffffff" : color;
        double x = PanelLeft(panel) + Place(dot.Value, first);
        double low = PanelLeft(panel) + Place(dot.Low, first);
        double high = PanelLeft(panel) + Place(dot.High, first);
        if (double.IsFinite(dot.Low) && high > low)
        {
            Svg.Line(svg, $"""
                <path d="M{low:0.##} {y:0.##}H{high:0.##}" stroke="{color}" stroke-width="1.6" stroke-opacity="0.7"/>
                """);
        }

        string tip = $"<title>{Svg.Escape($"{group} {row.Label}, {panels[panel]}: {Describe(dot)}")}</title>";
        string style = FormattableString.Invariant($"""fill="{fill}" stroke="{color}" stroke-width="1.6" """);
        if (double.IsFinite(dot.Value))
        {
            Svg.Line(svg, $"""<circle cx="{x:0.##}" cy="{y:0.##}" r="{Radius}" {style}>{tip}</circle>""");
        }
        else if (dot.Cross)
        {
            Svg.Line(svg, $"""
                <path d="M{x:0.##} {y:0.##}m{-Radius} {-Radius}l{size} {size}m0 {-size}l{-size} {size}"
                  fill="none" stroke="{color}" stroke-width="2">{tip}</path>
                """);
        }
        else
        {
            Svg.Line(svg, $"""
                <path d="M{x:0.##} {y:0.##}m{-Radius} {-Radius}l{size} {Radius}l{-size} {Radius}z" {style}>{tip}</path>
                """);
        }
    }

    private string Describe(Dot dot)
    {
        return double.IsFinite(dot.Value) ? $"{Number(dot.Value)} ({Number(dot.Low)}-{Number(dot.High)})"
            : dot.Cross ? "diverged" : Number(dot.Value);

        string Number(double value) => double.IsFinite(value)
            ? value.ToString("#,0.#", CultureInfo.InvariantCulture)
            : limit.ToString(">#,0", CultureInfo.InvariantCulture);
    }
}
