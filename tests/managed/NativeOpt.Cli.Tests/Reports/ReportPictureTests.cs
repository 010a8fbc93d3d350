using System.Xml.Linq;
using NativeOpt.Cli.Reports;
using Xunit;

namespace NativeOpt.Cli.Tests.Reports;

/// <summary>What a page takes in of a picture that anybody may have made.</summary>
public sealed class ReportPictureTests
{
    private const string Namespace = "http://www.w3.org/2000/svg";

    /// <summary>What is inside of an SVG, and a word of why it is refused.</summary>
    public static TheoryData<string, string> Hostile => new()
    {
        { "<script>alert(1)</script>", "<script>" },
        { "<style>* { display: none }</style>", "<style>" },
        { "<foreignObject/>", "<foreignObject>" },
        { "<image href=\"https://example.org/x.png\"/>", "<image>" },
        { "<a href=\"#x\"/>", "<a>" },
        { "<animate attributeName=\"href\"/>", "<animate>" },
        { "<p xmlns=\"http://www.w3.org/1999/xhtml\"/>", "<p>" },
        { "<rect onclick=\"alert(1)\"/>", "onclick" },
        { "<rect style=\"fill:url(https://example.org)\"/>", "style" },
        { "<rect xml:base=\"https://example.org\"/>", "base" },
        { "<use href=\"https://example.org/x.svg#x\"/>", "leads elsewhere" },
        { "<use xmlns:l=\"http://www.w3.org/1999/xlink\" l:href=\"#x\"/>", "href" },
        { "<rect fill=\"url(https://example.org)\"/>", "leads elsewhere" },
        { "<rect fill=\"u\\72l(https://example.org)\"/>", "leads elsewhere" },
        { "<rect clip-path=\"url(#a) url(https://example.org)\"/>", "leads elsewhere" },
        { "<title><g/></title>", "<title>" },
        { "<g id=\"a\"><use href=\"#b\"/></g><use href=\"#a\"/>", "another <use>" },
        { "<g id=\"a\"><use href=\"#a\"/></g>", "another <use>" },
        { "<g>", "no SVG" },
        { "&x;", "no SVG" },
    };

    [Theory]
    [MemberData(nameof(Hostile))]
    public void What_is_no_shape_and_no_text_is_refused(string content, string word) =>
        Assert.Contains(word, Refuse($"<svg xmlns=\"{Namespace}\">{content}</svg>"), StringComparison.Ordinal);

    /// <summary>To write an element takes as long as it is deep.</summary>
    [Fact]
    public void Deep_elements_are_refused()
    {
        string content = string.Concat(Enumerable.Repeat("<g>", 20_000)) + string.Concat(Enumerable.Repeat("</g>", 20_000));
        Assert.Contains("too deep", Refuse($"<svg xmlns=\"{Namespace}\">{content}</svg>"), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_svg_is_refused()
    {
        Assert.Contains("no SVG", Refuse(""), StringComparison.Ordinal);
        Assert.Contains("no SVG", Refuse("<svg/>"), StringComparison.Ordinal);
        Assert.Contains(
            "no SVG", Refuse($"<!DOCTYPE svg [<!ENTITY a \"b\">]><svg xmlns=\"{Namespace}\">&a;</svg>"), StringComparison.Ordinal);
    }

    [Fact]
    public void Ids_get_a_prefix_and_what_refers_to_them_follows()
    {
        XElement picture = Read("""
            <title>losses</title><defs><clipPath id="c"><rect/></clipPath><g id="a"/></defs>
            <use href="#a" clip-path="url(#c)" transform="translate(1 2)"/>
            """);
        Assert.Equal(["p-c", "p-a"], picture.Descendants().Attributes("id").Select(static id => id.Value));
        XElement use = Assert.Single(picture.Descendants(), static one => one.Name.LocalName == "use");
        Assert.Equal(("#p-a", "url(#p-c)"), (use.Attribute("href")!.Value, use.Attribute("clip-path")!.Value));
        Assert.Equal("losses", picture.Attribute("aria-label")!.Value);
        Assert.Equal("a name", Read("").Attribute("aria-label")!.Value);
    }

    /// <summary>In a title, a browser would take CDATA for a comment that ends at the first bracket.</summary>
    [Fact]
    public void Nothing_is_written_that_html_reads_in_another_way_than_xml()
    {
        string text = ReportPicture.Read(
            new StringReader($"""
                <?xml version="1.0"?><?xml-stylesheet href="x"?><!-- c --><s:svg xmlns:s="{Namespace}">
                <s:title><![CDATA[><script>alert(1)</script>]]></s:title></s:svg>
                """),
            "a name",
            "p-").ToString();
        Assert.StartsWith($"<svg ", text, StringComparison.Ordinal);
        Assert.Contains("<title>&gt;&lt;script&gt;", text, StringComparison.Ordinal);
        foreach (string no in new[] { "CDATA", "<script", "<?", "<!--", "s:" })
        {
            Assert.DoesNotContain(no, text, StringComparison.Ordinal);
        }
    }

    private static XElement Read(string content) =>
        ReportPicture.Read(new StringReader($"<svg xmlns=\"{Namespace}\">{content}</svg>"), "a name", "p-");

    private static string Refuse(string text) =>
        Assert.Throws<InvalidDataException>(() => ReportPicture.Read(new StringReader(text), "a name", "p-")).Message;
}
