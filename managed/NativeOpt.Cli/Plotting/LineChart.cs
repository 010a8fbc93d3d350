using System.Globalization;
using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>One line of a <see cref="LineChart"/>.</summary>
/// <param name="Name">What the legend says; empty: it does not have it.</param>
/// <param name="Points">The points in order. Where one is not finite, the line is interrupted.</param>
/// <param name="Color">An index into the palette; series of one optimizer share one.</param>
/// <param name="Dashed">True for a lighter, dashed line, such as the training loss beside the validation loss.</param>
internal sealed record LineSeries(
    string Name, IReadOnlyList<(double X, double Y)> Points, int Color, bool Dashed = false)
{
    /// <summary>How wide a line is that is not dashed. Points between gaps are dots of this width.</summary>
    public double Width { get; init; } = 2.2;

    /// <summary>How far values spread to both sides of each point, which a band behind the line shows; null: no band.</summary>
    public IReadOnlyList<double>? Spreads { get; init; }
}

/// <summary>A labelled horizontal line across a <see cref="LineChart"/>.</summary>
internal sealed record ReferenceLine(string Label, double Y);

/// <summary>
/// Draws lines into an SVG picture that needs nothing else: no library to write it, no font or style sheet to show it.
/// </summary>
internal sealed class LineChart
{
    private const double Width = 820;
    private const double Height = 480;
    private const double Left = 76;
    private const double Right = 28;
    private const double Top = 56;
    private const double Bottom = 60;
    private const double LegendRow = 20;
    private const double CharacterWidth = 6.7; // of the 12 px font, about; SVG cannot be asked
    private const double SwatchWidth = 34;
    private const double LegendGap = 22;

    private readonly List<LineSeries> _series = [];
    private readonly List<ReferenceLine> _references = [];

    /// <summary>Creates an empty chart.</summary>
    public LineChart(string title, string xLabel, string yLabel)
    {
        (Title, XLabel, YLabel) = (title, xLabel, yLabel);
    }

    /// <summary>The heading.</summary>
    public string Title { get; }

    /// <summary>What the horizontal axis shows.</summary>
    public string XLabel { get; }

    /// <summary>What the vertical axis shows.</summary>
    public string YLabel { get; }

    /// <summary>Whether the horizontal axis is logarithmic. Where a point is not above 0, the line is interrupted.</summary>
    public bool IsXLogarithmic { get; init; }

    /// <summary>Whether the vertical axis is logarithmic. Where a point is not above 0, the line is interrupted.</summary>
    public bool IsYLogarithmic { get; init; }

    // What the legend has.
    private IEnumerable<LineSeries> Named => _series.Where(static series => series.Name.Length > 0);

    /// <summary>Adds a line in the next colour.</summary>
    public void Add(string name, IReadOnlyList<(double X, double Y)> points, bool dashed = false) =>
        Add(new LineSeries(name, points, _series.Count, dashed));

    /// <summary>Adds a line.</summary>
    public void Add(LineSeries series) => _series.Add(series);

    /// <summary>Adds a horizontal line with a label, such as a bar that a loss should stay below.</summary>
    public void AddReference(string label, double y) => _references.Add(new ReferenceLine(label, y));

    /// <summary>One picture of several charts, from top to bottom.</summary>
    public static string Stack(IReadOnlyList<LineChart> charts) =>
        Svg.Stack([.. charts.Select(static chart => (chart.ToSvg(), Width, Height))]);

    /// <summary>The picture.</summary>
    public string ToSvg()
    {
        List<(double X, double Y)> legend = PlaceLegend(out double legendHeight);
        (double X, double Y)[] points = [.. _series.SelectMany(static series => series.Points).Where(IsShown)];
        double[] references = [.. _references.Where(IsShown).Select(static reference => reference.Y)];
        var x = new Axis(points.Select(static point => point.X), Left, Width - Right, 9, IsXLogarithmic);
        var y = new Axis(
            points.Select(static point => point.Y).Concat(_series.SelectMany(Band).Where(IsShown).Select(static point => point.Y))
                .Concat(references),
            Height - Bottom, Top + legendHeight, 7,
            IsYLogarithmic);

        var svg = new StringBuilder();
        Svg.Begin(svg, Width, Height, Title);
        Svg.Heading(svg, Left, 30, Title);
        DrawAxes(svg, x, y);
        DrawReferences(svg, y);
        foreach (LineSeries series in _series)
        {
            DrawBand(svg, series, x, y);
        }

        foreach (LineSeries series in _series)
        {
            DrawSeries(svg, series, x, y);
        }

        foreach ((LineSeries series, (double left, double middle)) in Named.Zip(legend))
        {
            Svg.Line(svg, $"""<path d="M{left:0.##} {middle:0.##}h{SwatchWidth - 8}" {Stroke(series)}/>""");
            Svg.Text(svg, left + SwatchWidth, middle + 4, series.Name, "start", Svg.Ink);
        }

        Svg.End(svg);
        return svg.ToString();
    }

    /// <summary>Where each legend entry begins; it wraps as words do.</summary>
    private List<(double X, double Y)> PlaceLegend(out double height)
    {
        var places = new List<(double X, double Y)>();
        double x = Left;
        double y = Top - 4;
        foreach (LineSeries series in Named)
        {
            double width = SwatchWidth + (CharacterWidth * series.Name.Length);
            if (x > Left && x + width > Width - Right)
            {
                x = Left;
                y += LegendRow;
            }

            places.Add((x, y));
            x += width + LegendGap;
        }

        height = places.Count == 0 ? 0 : y - Top + LegendRow;
        return places;
    }

    private void DrawAxes(StringBuilder svg, Axis x, Axis y)
    {
        foreach (double tick in y.Ticks)
        {
            double at = y.Place(tick);
            Svg.Line(svg, $"""<path d="M{Left} {at:0.##}H{Width - Right}" stroke="#e3e5e8"/>""");
            Svg.Text(svg, Left - 10, at + 4, y.Label(tick), "end", Svg.FaintInk);
        }

        foreach (double tick in x.Ticks)
        {
            double at = x.Place(tick);
            Svg.Line(svg, $"""<path d="M{at:0.##} {Height - Bottom}v5" stroke="{Svg.FaintInk}"/>""");
            Svg.Text(svg, at, Height - Bottom + 20, x.Label(tick), "middle", Svg.FaintInk);
        }

        Svg.Line(svg, $"""<path d="M{Left} {Height - Bottom}H{Width - Right}" stroke="{Svg.FaintInk}"/>""");
        Svg.Text(svg, (Left + Width - Right) / 2, Height - 16, XLabel, "middle", Svg.Ink);
        double middle = (y.Place(y.First) + y.Place(y.Last)) / 2;
        Svg.Text(svg, 20, middle, YLabel, "middle", Svg.Ink, Invariant($"""transform="rotate(-90 20 {middle:0.##})" """));
    }

    private void DrawReferences(StringBuilder svg, Axis y)
    {
        foreach (ReferenceLine reference in _references.Where(IsShown))
        {
            double at = y.Place(reference.Y);
            Svg.Line(svg, $"""
                <path d="M{Left} {at:0.##}H{Width - Right}" stroke="{Svg.FaintInk}"
                  stroke-width="1.2" stroke-dasharray="2 3"/>
                """);

            // The white outline keeps the label legible where a line crosses it.
            Svg.Text(
                svg, Width - Right - 4, at - 6, reference.Label, "end", Svg.FaintInk,
                """stroke="#ffffff" stroke-width="3" paint-order="stroke" """);
        }
    }

    // The upper edge from left to right, and the lower one back.
    private static IEnumerable<(double X, double Y)> Band(LineSeries series)
    {
        IEnumerable<((double X, double Y) Point, double Spread)> all = series.Points.Zip(series.Spreads ?? []);
        return all.Select(static own => (own.Point.X, own.Point.Y + own.Spread))
            .Concat(all.Reverse().Select(static own => (own.Point.X, own.Point.Y - own.Spread)));
    }

    private void DrawBand(StringBuilder svg, LineSeries series, Axis x, Axis y)
    {
        (double X, double Y)[] band = [.. Band(series).Where(IsShown)];
        if (band.Length > 2)
        {
            string path = string.Join('L', band.Select(point => Invariant($"{x.Place(point.X):0.##} {y.Place(point.Y):0.##}")));
            Svg.Line(svg, $"""<path d="M{path}Z" fill="{Svg.Color(series.Color)}" fill-opacity="0.18"/>""");
        }
    }

    private void DrawSeries(StringBuilder svg, LineSeries series, Axis x, Axis y)
    {
        var path = new StringBuilder();
        for (int i = 0; i < series.Points.Count; i++)
        {
            if (!IsShown(series.Points[i]))
            {
                continue;
            }

            bool begins = i == 0 || !IsShown(series.Points[i - 1]);
            bool ends = i + 1 == series.Points.Count || !IsShown(series.Points[i + 1]);
            path.Append(CultureInfo.InvariantCulture, $"{(begins ? 'M' : 'L')}{x.Place(series.Points[i].X):0.##} ");
            path.Append(CultureInfo.InvariantCulture, $"{y.Place(series.Points[i].Y):0.##}");

            // With round caps, a line of no length shows a point that has no neighbour.
            path.Append(begins && ends ? "h0" : "");
        }

        if (path.Length > 0)
        {
            Svg.Line(svg, $"""<path d="{path}" {Stroke(series)}><title>{Svg.Escape(series.Name)}</title></path>""");
        }
    }

    private static string Stroke(LineSeries series)
    {
        string color = Svg.Color(series.Color);
        string style = series.Dashed
            ? """stroke-width="1.5" stroke-dasharray="5 4" stroke-opacity="0.6" """
            : FormattableString.Invariant($"""stroke-width="{series.Width}" """);
        return $"""fill="none" stroke="{color}" stroke-linejoin="round" stroke-linecap="round" {style}""";
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);

    private bool IsShown((double X, double Y) point) =>
        Axis.HasPlaceFor(point.X, IsXLogarithmic) && Axis.HasPlaceFor(point.Y, IsYLogarithmic);

    private bool IsShown(ReferenceLine reference) => Axis.HasPlaceFor(reference.Y, IsYLogarithmic);
}
