using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>A picture of many small panels of one size, row by row: what has more lines than there are colours.</summary>
/// <param name="title">The heading.</param>
/// <param name="caption">What the panels show, a line each.</param>
/// <param name="left">The room to the left of all panels.</param>
/// <param name="width">The width of a panel's plot.</param>
/// <param name="height">Its height.</param>
/// <param name="below">The room below each plot.</param>
internal sealed class PanelGrid(
    string title, IReadOnlyList<string> caption, double left, double width, double height, double below)
{
    private const int Columns = 5;
    private const double Gap = 14;
    private const double Head = 26; // above each plot, for its name
    private const double Right = 16;
    private const double LineHeight = 17;

    private double Top => 44 + (caption.Count * LineHeight);

    private double PictureWidth => left + (Columns * width) + ((Columns - 1) * Gap) + Right;

    /// <summary>Whether a panel is in the first column.</summary>
    public static bool IsFirstOfRow(int panel) => panel % Columns == 0;

    /// <summary>The picture, and its size.</summary>
    /// <param name="names">What stands above each panel.</param>
    /// <param name="draw">Draws a panel, from its number; (0, 0) is the upper left corner of its plot.</param>
    /// <param name="shared">Elements that panels use again, or nothing.</param>
    public (string Svg, double Width, double Height) Draw(
        IReadOnlyList<string> names, Action<StringBuilder, int> draw, string shared = "")
    {
        int rows = (names.Count + Columns - 1) / Columns;
        double pictureHeight = Top + (rows * (Head + height + below)) + 10;
        var svg = new StringBuilder();
        Svg.Begin(svg, PictureWidth, pictureHeight, title);
        svg.Append(shared);
        Svg.Heading(svg, 16, 30, title);
        for (int i = 0; i < caption.Count; i++)
        {
            Svg.Text(svg, 16, 50 + (i * LineHeight), caption[i], "start", Svg.FaintInk);
        }

        for (int i = 0; i < names.Count; i++)
        {
            double x = left + ((i % Columns) * (width + Gap));
            double y = Top + ((i / Columns) * (Head + height + below)) + Head;
            Svg.Line(svg, $"""<g transform="translate({x:0.##} {y:0.##})">""");
            Svg.Text(svg, 0, -7, names[i], "start", Svg.Ink, """font-weight="600" """);
            draw(svg, i);
            svg.Append("</g>\n");
        }

        Svg.End(svg);
        return (svg.ToString(), PictureWidth, pictureHeight);
    }
}
