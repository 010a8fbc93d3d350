using System.Globalization;
using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>
/// Draws lines a panel each, with all the others faint behind them, into an SVG picture that needs nothing else: what a
/// <see cref="LineChart"/> is for few lines, for many.
/// </summary>
/// <param name="id">What no other part of a stacked picture is called.</param>
/// <param name="title">The heading.</param>
/// <param name="caption">What the panels show, a line each.</param>
internal sealed class LinePanels(string id, string title, IReadOnlyList<string> caption)
{
    private const double PanelWidth = 160;
    private const double PanelHeight = 112;
    private const string Grid = "#e3e5e8";
    private const string Faint = "#c9cdd2";

    private readonly List<(LineSeries Line, string Note)> _panels = [];
    private readonly List<double> _references = [];

    /// <summary>Adds a panel.</summary>
    /// <param name="line">Its line.</param>
    /// <param name="note">What stands at the right above it.</param>
    public void Add(LineSeries line, string note) => _panels.Add((line, note));

    /// <summary>Adds a horizontal line to all panels; the caption says what it is.</summary>
    public void AddReference(double y) => _references.Add(y);

    /// <summary>The picture, and its size.</summary>
    public (string Svg, double Width, double Height) Draw()
    {
        (double X, double Y)[] points = [.. _panels.SelectMany(static panel => panel.Line.Points).Where(IsShown)];
        var x = new Axis(points.Select(static point => point.X), 0, PanelWidth, 3);
        var y = new Axis(points.Select(static point => point.Y).Concat(_references.Where(double.IsFinite)), PanelHeight, 0, 4);
        return new PanelGrid(title, caption, left: 50, PanelWidth, PanelHeight, below: 26).Draw(
            [.. _panels.Select(static panel => panel.Line.Name)],
            (svg, i) => Draw(svg, i, x, y),
            DrawLines(x, y));
    }

    private static bool IsShown((double X, double Y) point) => double.IsFinite(point.X) && double.IsFinite(point.Y);

    private string DrawLines(Axis x, Axis y)
    {
        var svg = new StringBuilder();
        Svg.Line(svg, $"""<defs><g id="{id}" fill="none" stroke="{Faint}">""");
        foreach ((LineSeries line, _) in _panels)
        {
            Svg.Line(svg, $"""<path d="{Path(line, x, y)}"/>""");
        }

        svg.Append("</g></defs>\n");
        return svg.ToString();
    }

    private void Draw(StringBuilder svg, int panel, Axis x, Axis y)
    {
        (LineSeries own, string note) = _panels[panel];
        Svg.Text(svg, PanelWidth, -7, note, "end", Svg.FaintInk);
        foreach (double tick in y.Ticks)
        {
            Svg.Line(svg, $"""<path d="M0 {y.Place(tick):0.##}H{PanelWidth}" stroke="{Grid}"/>""");
            if (PanelGrid.IsFirstOfRow(panel))
            {
                Svg.Text(svg, -8, y.Place(tick) + 4, y.Label(tick), "end", Svg.FaintInk, """font-size="11" """);
            }
        }

        // The labels of the ends stay within the panel's width, beside those of its neighbours.
        foreach (double tick in x.Ticks)
        {
            string anchor = tick == x.First ? "start" : tick == x.Last ? "end" : "middle";
            Svg.Text(svg, x.Place(tick), PanelHeight + 14, x.Label(tick), anchor, Svg.FaintInk, """font-size="11" """);
        }

        foreach (double reference in _references.Where(double.IsFinite))
        {
            Svg.Line(svg, $"""
                <path d="M0 {y.Place(reference):0.##}H{PanelWidth}" stroke="{Svg.FaintInk}" stroke-width="1.2" stroke-dasharray="2 3"/>
                """);
        }

        Svg.Line(svg, $"""
            <use href="#{id}"/>
            <path d="{Path(own, x, y)}" fill="none" stroke="{Svg.Color(own.Color)}"
              stroke-width="2.2" stroke-linejoin="round" stroke-linecap="round"><title>{Svg.Escape(own.Name)}</title></path>
            """);
    }

    private static string Path(LineSeries line, Axis x, Axis y)
    {
        var path = new StringBuilder();
        bool begins = true;
        foreach ((double X, double Y) point in line.Points)
        {
            bool isShown = IsShown(point);
            if (isShown)
            {
                path.Append(
                    CultureInfo.InvariantCulture, $"{(begins ? 'M' : 'L')}{x.Place(point.X):0.#} {y.Place(point.Y):0.#}");

                // With round caps, a line of no length shows a point that has no neighbour.
                path.Append(begins ? "h0" : "");
            }

            begins = !isShown;
        }

        return path.ToString();
    }
}
