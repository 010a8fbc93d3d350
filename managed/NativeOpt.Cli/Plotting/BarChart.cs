using System.Globalization;
using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>What a <see cref="BarChart"/> shows of one series in one group.</summary>
/// <param name="Value">How long the bar is.</param>
/// <param name="Low">Where the line over its end begins.</param>
/// <param name="High">Where that ends.</param>
internal readonly record struct Bar(double Value, double Low, double High);

/// <summary>Draws groups of horizontal bars from zero into an SVG picture that needs nothing else.</summary>
/// <param name="title">The heading.</param>
/// <param name="caption">What the bars mean, a line each.</param>
/// <param name="xLabel">What the horizontal axis shows.</param>
/// <param name="series">What the legend calls the bars of each group.</param>
internal sealed class BarChart(string title, IReadOnlyList<string> caption, string xLabel, IReadOnlyList<string> series)
{
    private const double Width = 820;
    private const double Left = 216;
    private const double Right = 76;
    private const double BarHeight = 13;
    private const double GroupGap = 12;
    private const double LineHeight = 17;
    private const double LegendHeight = 26;
    private const double AxisHeight = 58;
    private const double LegendStep = 120; // the least
    private const double CharacterWidth = 6.7; // of the 12 px font, about; SVG cannot be asked

    private readonly List<(string Name, IReadOnlyList<Bar?> Bars)> _groups = [];

    /// <summary>How the numbers beside the bars are written.</summary>
    public string Format { get; init; } = "#,0.0";

    /// <summary>Adds a group: a bar of each series, in their order; null: it has none.</summary>
    public void Add(string group, IReadOnlyList<Bar?> bars) => _groups.Add((group, bars));

    /// <summary>The picture.</summary>
    public string ToSvg()
    {
        double step = Math.Max(LegendStep, 34 + (CharacterWidth * series.Max(static name => name.Length)));
        int perRow = Math.Max(1, (int)((Width - Left) / step));
        double legendTop = 50 + (caption.Count * LineHeight);
        double top = legendTop + (LegendHeight * ((series.Count + perRow - 1) / perRow));
        double bottom = top + _groups.Sum(Height);
        IEnumerable<double> ends = _groups.SelectMany(static group => group.Bars).Select(static bar => bar?.High ?? 0);
        var axis = new Axis(ends.Append(0), Left, Width - Right, 8);
        var svg = new StringBuilder();
        Svg.Begin(svg, Width, bottom + AxisHeight, title);
        Svg.Heading(svg, 16, 30, title);
        for (int i = 0; i < caption.Count; i++)
        {
            Svg.Text(svg, 16, 50 + (i * LineHeight), caption[i], "start", Svg.FaintInk);
        }

        for (int i = 0; i < series.Count; i++)
        {
            double x = Left + (i % perRow * step);
            double y = legendTop + (i / perRow * LegendHeight);
            Svg.Line(svg, $"""<rect x="{x:0.##}" y="{y:0.##}" width="12" height="12" fill="{Svg.Color(i)}"/>""");
            Svg.Text(svg, x + 18, y + 10, series[i], "start", Svg.Ink);
        }

        foreach (double tick in axis.Ticks)
        {
            double x = axis.Place(tick);
            Svg.Line(svg, $"""<path d="M{x:0.##} {top:0.##}V{bottom:0.##}" stroke="#e3e5e8"/>""");
            Svg.Text(svg, x, bottom + 17, axis.Label(tick), "middle", Svg.FaintInk);
        }

        Svg.Text(svg, (Left + Width - Right) / 2, bottom + 44, xLabel, "middle", Svg.Ink);
        double groupTop = top;
        foreach ((string Name, IReadOnlyList<Bar?> Bars) group in _groups)
        {
            Draw(svg, group.Name, group.Bars, groupTop + (GroupGap / 2), axis);
            groupTop += Height(group);
        }

        Svg.End(svg);
        return svg.ToString();
    }

    private static double Height((string Name, IReadOnlyList<Bar?> Bars) group) =>
        (Math.Max(1, group.Bars.Count(static bar => bar is not null)) * BarHeight) + GroupGap;

    private void Draw(StringBuilder svg, string name, IReadOnlyList<Bar?> bars, double top, Axis axis)
    {
        Svg.Text(svg, Left - 12, top + BarHeight - 2, name, "end", Svg.Ink);
        double y = top;
        for (int i = 0; i < bars.Count; i++)
        {
            if (bars[i] is not { } bar)
            {
                continue;
            }

            double middle = y + (BarHeight / 2) - 1;
            double end = axis.Place(bar.Value);
            string number = bar.Value.ToString(Format, CultureInfo.InvariantCulture);
            Svg.Line(svg, $"""
                <rect x="{Left}" y="{y:0.##}" width="{end - Left:0.##}" height="{BarHeight - 2}" fill="{Svg.Color(i)}">
                <title>{Svg.Escape($"{name}, {series[i]}: {number}")}</title></rect>
                <path d="M{axis.Place(bar.Low):0.##} {middle:0.##}H{axis.Place(bar.High):0.##}" stroke="{Svg.Ink}"/>
                """);
            Svg.Text(
                svg, axis.Place(bar.High) + 6, middle + 4, number, "start", Svg.FaintInk, """font-size="10" """);
            y += BarHeight;
        }
    }
}
