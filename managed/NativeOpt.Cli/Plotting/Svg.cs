using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>What all charts write alike.</summary>
internal static class Svg
{
    public const string Ink = "#222222";
    public const string FaintInk = "#5f6368";

    // Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow, too pale on white.
    private static readonly string[] _palette =
        ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

    /// <summary>The colours of the palette.</summary>
    public static int ColorCount => _palette.Length;

    /// <summary>A colour of the palette, which begins anew at its end.</summary>
    public static string Color(int index) => _palette[(int)((uint)index % (uint)_palette.Length)];

    /// <summary>Begins a picture on white.</summary>
    public static void Begin(StringBuilder svg, double width, double height, string title)
    {
        Line(svg, $"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
              role="img" font-size="12" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif">
            <title>{Escape(title)}</title>
            <rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>
            """);
    }

    /// <summary>The heading of a picture.</summary>
    public static void Heading(StringBuilder svg, double x, double y, string title) =>
        Text(svg, x, y, title, "start", Ink, """font-size="17" font-weight="600" """);

    /// <summary>Ends a picture.</summary>
    public static void End(StringBuilder svg) => svg.Append("</svg>\n");

    /// <summary>One picture of several, from top to bottom.</summary>
    public static string Stack(IReadOnlyList<(string Svg, double Width, double Height)> pictures)
    {
        if (pictures.Count == 1)
        {
            return pictures[0].Svg;
        }

        var svg = new StringBuilder();
        double width = pictures.Max(static picture => picture.Width);
        double height = pictures.Sum(static picture => picture.Height);
        Line(svg, $"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
            """);
        double top = 0;
        foreach ((string picture, _, double own) in pictures)
        {
            Line(svg, $"""<g transform="translate(0 {top})">""");
            svg.Append(picture).Append("</g>\n");
            top += own;
        }

        End(svg);
        return svg.ToString();
    }

    public static void Text(
        StringBuilder svg, double x, double y, string text, string anchor, string color, string attributes = "") =>
        Line(svg, $"""
            <text x="{x:0.##}" y="{y:0.##}" text-anchor="{anchor}" fill="{color}" {attributes}>{Escape(text)}</text>
            """);

    public static void Line(StringBuilder svg, FormattableString line) =>
        svg.Append(FormattableString.Invariant(line)).Append('\n');

    /// <summary>Escapes what XML reserves and drops what it cannot hold at all, such as control characters.</summary>
    public static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            string? replacement = rune.Value switch
            {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\t' or '\n' or '\r' => " ",
                < ' ' or 0xFFFE or 0xFFFF => "",
                _ => null,
            };
            escaped.Append(replacement ?? rune.ToString());
        }

        return escaped.ToString();
    }
}
