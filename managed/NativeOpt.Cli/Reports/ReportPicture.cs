using System.Xml;
using System.Xml.Linq;

namespace NativeOpt.Cli.Reports;

/// <summary>
/// Takes a picture into a page. The page is one document, and a folder may come from anybody: a picture that has anything but
/// shapes and texts, such as a script, a style sheet or a reference to elsewhere, is refused as a whole.
/// </summary>
internal static class ReportPicture
{
    private const int MostCharacters = 16 << 20;
    private const int MostDepth = 64;
    private const string Reference = "url(#";

    private static readonly XNamespace _svg = "http://www.w3.org/2000/svg";

    private static readonly HashSet<string> _elements =
    [
        "svg", "g", "defs", "use", "title", "desc", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text",
        "tspan", "clipPath",
    ];

    private static readonly HashSet<string> _attributes =
    [
        "id", "href", "role", "viewBox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "dx", "dy", "cx", "cy", "r", "rx", "ry",
        "d", "points", "transform", "fill", "fill-opacity", "fill-rule", "opacity", "stroke", "stroke-width", "stroke-opacity",
        "stroke-linejoin", "stroke-linecap", "stroke-dasharray", "font-family", "font-size", "font-style", "font-weight",
        "text-anchor", "dominant-baseline", "paint-order", "clip-path",
    ];

    /// <summary>Reads a picture.</summary>
    /// <param name="file">The text of the file.</param>
    /// <param name="name">What it is called where it has no title.</param>
    /// <param name="prefix">What its ids begin with in the page, so that those of two pictures differ.</param>
    /// <exception cref="InvalidDataException">It is no picture that a page may take in; the message says why.</exception>
    public static XElement Read(TextReader file, string name, string prefix)
    {
        XElement root;
        try
        {
            var settings = new XmlReaderSettings
            {
                DtdProcessing = DtdProcessing.Prohibit,
                XmlResolver = null,
                IgnoreComments = true,
                IgnoreProcessingInstructions = true,
                MaxCharactersInDocument = MostCharacters,
            };
            using var reader = XmlReader.Create(file, settings);
            root = XDocument.Load(reader).Root!;
        }
        catch (XmlException error)
        {
            throw new InvalidDataException($"it is no SVG: {error.Message}");
        }

        Require(root.Name == _svg + "svg", "it is no SVG");
        XElement[] all = [.. root.DescendantsAndSelf()];
        RequireShallow(all);
        foreach (XElement element in all)
        {
            Clean(element, prefix);
        }

        RequireShallowUses(all);
        root.SetAttributeValue("role", "img");
        root.SetAttributeValue("aria-label", all.FirstOrDefault(static one => one.Name.LocalName == "title")?.Value ?? name);
        return root;
    }

    private static void Clean(XElement element, string prefix)
    {
        string name = element.Name.LocalName;
        Require(element.Name.Namespace == _svg && _elements.Contains(name), $"it has an element <{name}>");

        // In a title a browser reads HTML.
        Require(name is not ("title" or "desc") || !element.HasElements, $"its <{name}> has elements");

        // With the declarations go the prefixes, which HTML does not know; nor does it know CDATA everywhere.
        element.Attributes().Where(static attribute => attribute.IsNamespaceDeclaration).Remove();
        foreach (XCData text in element.Nodes().OfType<XCData>().ToArray())
        {
            text.ReplaceWith(new XText(text.Value));
        }

        foreach (XAttribute attribute in element.Attributes())
        {
            string own = attribute.Name.LocalName;
            Require(
                attribute.Name.Namespace == XNamespace.None && _attributes.Contains(own), $"it has an attribute {own} of <{name}>");
            attribute.Value = own switch
            {
                "id" => prefix + attribute.Value,
                "href" when attribute.Value.StartsWith('#') => $"#{prefix}{attribute.Value[1..]}",
                "clip-path" when attribute.Value.StartsWith(Reference, StringComparison.Ordinal) =>
                    $"{Reference}{prefix}{attribute.Value[Reference.Length..]}",
                "href" or "clip-path" => throw new InvalidDataException($"its {own} of <{name}> leads elsewhere"),
                _ => attribute.Value,
            };
            string rest = attribute.Value.Replace(Reference, "", StringComparison.Ordinal);
            Require(own == "clip-path" ? !rest.Contains('(', StringComparison.Ordinal) : own == "transform" || !MayRefer(rest),
                $"its {own} of <{name}> leads elsewhere");
        }
    }

    // Functions, of which url() is one, and the escapes that could hide its name.
    private static bool MayRefer(string value) =>
        value.Contains('\\', StringComparison.Ordinal) || value.Contains("url", StringComparison.OrdinalIgnoreCase)
        || value.Contains("image", StringComparison.OrdinalIgnoreCase);

    // To write an element takes as long as it is deep.
    private static void RequireShallow(XElement[] all)
    {
        Dictionary<XElement, int> depths = [];
        foreach (XElement element in all)
        {
            depths[element] = element.Parent is { } parent ? depths[parent] + 1 : 1;
            Require(depths[element] <= MostDepth, "its elements lie too deep in each other");
        }
    }

    // Uses of uses could be so many that no browser ends.
    private static void RequireShallowUses(XElement[] all)
    {
        HashSet<string> used = [.. all.Where(IsUse).Select(static use => use.Attribute("href")?.Value.TrimStart('#') ?? "")];
        Require(
            !all.Any(one => one.Attribute("id") is { } id && used.Contains(id.Value) && one.DescendantsAndSelf().Any(IsUse)),
            "a <use> of it refers to another <use>");
    }

    private static bool IsUse(XElement element) => element.Name.LocalName == "use";

    private static void Require(bool isAllowed, string why)
    {
        if (!isAllowed)
        {
            throw new InvalidDataException(why);
        }
    }
}
