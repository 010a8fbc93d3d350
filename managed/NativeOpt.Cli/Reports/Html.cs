using System.Text;
using System.Xml;
using System.Xml.Linq;

namespace NativeOpt.Cli.Reports;

/// <summary>
/// Makes HTML from elements, which escape what they hold. A browser reads it as HTML, and not as XML: no element may be written
/// as empty, except those that HTML knows as such.
/// </summary>
internal static class Html
{
    private const string Void = "meta";

    /// <summary>An element.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="content">Attributes, elements and texts; what is null is left out.</param>
    public static XElement Element(string name, params IEnumerable<object?> content)
    {
        var element = new XElement(name, content.Select(static part => part is string text ? Clean(text) : part));
        if (element.IsEmpty && name != Void)
        {
            element.Add("");
        }

        return element;
    }

    /// <summary>An attribute.</summary>
    public static XAttribute Attribute(string name, string value) => new(name, Clean(value));

    /// <summary>The class that the style sheet knows an element by.</summary>
    public static XAttribute Class(string name) => new("class", name);

    /// <summary>A whole document.</summary>
    public static string Document(XElement html)
    {
        var text = new StringBuilder("<!DOCTYPE html>\n");
        var settings = new XmlWriterSettings { OmitXmlDeclaration = true, NewLineHandling = NewLineHandling.None };
        using (var writer = XmlWriter.Create(text, settings))
        {
            html.Save(writer);
        }

        return text.Append('\n').ToString();
    }

    // Texts come from files that anybody may have written. Some characters XML cannot hold, and some turn the text around them.
    private static string Clean(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (Rune rune in text.Replace("\r\n", "\n", StringComparison.Ordinal).EnumerateRunes())
        {
            clean.Append(rune.Value switch
            {
                '\n' or '\t' => rune.ToString(),
                0xFFFE or 0xFFFF => Rune.ReplacementChar.ToString(),
                _ => Printable.Of(rune.ToString()),
            });
        }

        return clean.ToString();
    }
}
