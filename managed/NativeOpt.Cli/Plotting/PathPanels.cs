using System.Globalization;
using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>A path of <see cref="PathPanels"/>.</summary>
/// <param name="Name">What stands above it.</param>
/// <param name="Note">What stands below it.</param>
/// <param name="Points">Its points, from the first to the last.</param>
/// <param name="IsLost">Whether its end is a cross rather than a dot.</param>
internal sealed record PathPanel(string Name, string Note, IReadOnlyList<(double X, double Y)> Points, bool IsLost);

/// <summary>Draws paths over the lines of equal value of one function, a panel each, into an SVG picture that needs nothing else.
/// </summary>
/// <param name="title">The heading.</param>
/// <param name="caption">What the panels show, a line each.</param>
/// <param name="halfWidth">The panels are |x|, |y| ≤ this.</param>
/// <param name="function">The function.</param>
internal sealed class PathPanels(
    string title, IReadOnlyList<string> caption, double halfWidth, Func<double, double, double> function)
{
    private const double Size = 168;
    private const int Cells = 112; // a side, of the grid that contours come from
    private const int Levels = 7;
    private const double Radius = 4;
    private const double LeastStep = 1; // nearer points of a path are left out
    private const string ContoursId = "contours";

    private readonly List<PathPanel> _panels = [];

    /// <summary>Adds a panel.</summary>
    public void Add(PathPanel panel) => _panels.Add(panel);

    /// <summary>The picture.</summary>
    public string ToSvg() =>
        new PanelGrid(title, caption, left: 16, Size, Size, below: 22)
            .Draw([.. _panels.Select(static panel => panel.Name)], (svg, i) => Draw(svg, i), DrawContours()).Svg;

    private double PlaceX(double x) => ((x / halfWidth) + 1) * Size / 2;

    private double PlaceY(double y) => (1 - (y / halfWidth)) * Size / 2;

    /// <summary>Levels that leave equal parts of the square between them, for functions that are steep somewhere.</summary>
    private string DrawContours()
    {
        double[,] values = new double[Cells + 1, Cells + 1];
        for (int row = 0; row <= Cells; row++)
        {
            for (int column = 0; column <= Cells; column++)
            {
                values[row, column] = function(halfWidth * ((2.0 * column / Cells) - 1), halfWidth * ((2.0 * row / Cells) - 1));
            }
        }

        double[] sorted = [.. values.Cast<double>().Order()];
        var svg = new StringBuilder();
        Svg.Line(svg, $"""<defs><g id="{ContoursId}" fill="none" stroke-width="0.8" stroke-linejoin="round">""");
        for (int i = 1; i <= Levels; i++)
        {
            var path = new StringBuilder();
            foreach (List<(double X, double Y)> line in Contours.At(values, sorted[sorted.Length * i / (Levels + 1)]))
            {
                Append(path, line.Select(static point => (point.X * Size / Cells, Size - (point.Y * Size / Cells))));
            }

            Svg.Line(svg, $"""<path d="{path}" stroke="{Shade((i - 1.0) / (Levels - 1))}"/>""");
        }

        svg.Append("</g></defs>\n");
        return svg.ToString();
    }

    private void Draw(StringBuilder svg, int number)
    {
        PathPanel panel = _panels[number];
        Svg.Line(svg, $"""
            <use href="#{ContoursId}"/>
            <rect width="{Size}" height="{Size}" fill="none" stroke="{Svg.FaintInk}" stroke-opacity="0.6"/>
            """);
        var path = new StringBuilder();
        (double X, double Y)[] points = [.. panel.Points.Select(point => (PlaceX(point.X), PlaceY(point.Y)))];
        Append(path, Thinned(points));

        // The white outline keeps the path apart from the contours.
        Svg.Line(svg, $"""
            <g stroke="#ffffff" stroke-width="3.4" stroke-opacity="0.8">
            <path id="path-{number}" d="{path}" fill="none" stroke-linejoin="round"><title>{Svg.Escape(panel.Name)}</title></path></g>
            <use href="#path-{number}" stroke="{Svg.Ink}" stroke-width="1.3"/>
            <circle cx="{points[0].X:0.##}" cy="{points[0].Y:0.##}" r="{Radius}" fill="#ffffff" stroke="{Svg.Ink}" stroke-width="1.6"/>
            """);
        DrawEnd(svg, points[^1].X, points[^1].Y, panel.IsLost);
        Svg.Text(svg, 0, Size + 14, panel.Note, "start", Svg.FaintInk, """font-size="11" """);
    }

    private static void DrawEnd(StringBuilder svg, double x, double y, bool isLost)
    {
        string color = Svg.Color(1);
        if (isLost)
        {
            Svg.Line(svg, $"""
                <path d="M{x - Radius:0.##} {y - Radius:0.##}l{2 * Radius} {2 * Radius}m0 {-2 * Radius}l{-2 * Radius} {2 * Radius}"
                  stroke="{color}" stroke-width="2.4"/>
                """);
            return;
        }

        Svg.Line(svg, $"""<circle cx="{x:0.##}" cy="{y:0.##}" r="{Radius}" fill="{color}" stroke="#ffffff"/>""");
    }

    /// <summary>The first point, the last one, and of the others those that are not too near to the one before.</summary>
    private static IEnumerable<(double X, double Y)> Thinned((double X, double Y)[] points)
    {
        (double X, double Y) last = points[0];
        for (int i = 0; i < points.Length; i++)
        {
            if (i == 0 || i == points.Length - 1 || double.Hypot(points[i].X - last.X, points[i].Y - last.Y) >= LeastStep)
            {
                last = points[i];
                yield return last;
            }
        }
    }

    private static void Append(StringBuilder path, IEnumerable<(double X, double Y)> points)
    {
        char command = 'M';
        foreach ((double x, double y) in points)
        {
            path.Append(CultureInfo.InvariantCulture, $"{command}{x:0.#} {y:0.#}");
            command = 'L';
        }
    }

    /// <summary>Blue for 0, light grey for 1.</summary>
    private static string Shade(double part)
    {
        return $"#{Mix(0x2a, 0xdd):x2}{Mix(0x7f, 0xdf):x2}{Mix(0xc9, 0xe2):x2}";

        int Mix(int low, int high) => (int)Math.Round(low + (part * (high - low)));
    }
}
