using System.Globalization;
using System.Xml.Linq;
using NativeOpt.Cli.Plotting;
using Xunit;

namespace NativeOpt.Cli.Tests.Plotting;

/// <summary>Pictures of small panels have a panel for each thing, within the picture.</summary>
public sealed class PanelsTests
{
    private static readonly XNamespace _svg = "http://www.w3.org/2000/svg";

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(19)]
    public void Paths_have_a_panel_each(int count)
    {
        var panels = new PathPanels("Paths", ["What is shown."], 2, static (x, y) => (x * x) + (y * y));
        for (int i = 0; i < count; i++)
        {
            panels.Add(new PathPanel($"path {i} <&>", $"note {i}", [(-2, 2), (0, 0), (1, -1)], IsLost: i == 1));
        }

        XElement root = XElement.Parse(panels.ToSvg());
        XElement[] groups = AssertPanels(root, count);
        for (int i = 0; i < count; i++)
        {
            Assert.Equal([$"path {i} <&>", $"note {i}"], Texts(groups[i]));
            XElement path = Assert.Single(Lines(groups[i]));
            Assert.Equal("M0 0L84 84L126 126", path.Attribute("d")!.Value); // of 168 px
            Assert.Equal(i == 1 ? 1 : 2, groups[i].Elements(_svg + "circle").Count()); // a ring, and a dot where it is no cross
            Assert.Equal(
                ["#contours", $"#{path.Attribute("id")!.Value}"],
                groups[i].Elements(_svg + "use").Select(static use => use.Attribute("href")!.Value));
        }

        // The circles of the bowl, the lowest the darkest.
        XElement contours = root.Descendants(_svg + "g").Single(static group => group.Attribute("id")?.Value == "contours");
        string[] shades = [.. contours.Elements().Select(static path => path.Attribute("stroke")!.Value)];
        Assert.Equal(shades.Length, shades.Distinct().Count());
        Assert.True(shades.Length >= 5);
        Assert.Equal(shades.Order(), shades);
    }

    [Fact]
    public void Points_of_a_path_that_cannot_be_told_apart_are_left_out()
    {
        var panels = new PathPanels("Paths", [], 1, static (x, y) => x + y);
        panels.Add(new PathPanel("slow", "", [.. Enumerable.Range(0, 10_001).Select(static i => (i * 1e-4, 0.0))], IsLost: false));
        string path = Assert.Single(Lines(XElement.Parse(panels.ToSvg()))).Attribute("d")!.Value;
        Assert.InRange(path.Split('L').Length, 50, 200);
        Assert.EndsWith("L168 84", path, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(19)]
    public void Lines_have_a_panel_each_with_the_others_behind(int count)
    {
        var panels = new LinePanels("lines", "Losses", ["What is shown."]);
        for (int i = 0; i < count; i++)
        {
            panels.Add(new LineSeries($"line {i}", [(0, 4), (10, double.NaN), (20, 3), (30, 2 + (i * 0.1))], Color: 0), $"note {i}");
        }

        panels.AddReference(3.3);
        panels.AddReference(double.NaN);
        (string svg, double width, double height) = panels.Draw();
        Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        XElement root = XElement.Parse(svg);
        Assert.Equal((Number(root, "width"), Number(root, "height")), (width, height));
        XElement[] groups = AssertPanels(root, count);
        XElement lines = root.Descendants(_svg + "g").Single(static group => group.Attribute("id")?.Value == "lines");
        string[] all = [.. lines.Elements().Select(static path => path.Attribute("d")!.Value)];
        Assert.Equal(count, all.Length);
        for (int i = 0; i < count; i++)
        {
            Assert.Subset(Texts(groups[i]).ToHashSet(), new HashSet<string> { $"line {i}", $"note {i}", "0" });
            Assert.Equal(all[i], Assert.Single(Lines(groups[i])).Attribute("d")!.Value);
            Assert.Equal(2, all[i].Count(static c => c == 'M')); // the gap
            Assert.Single(groups[i].Elements(_svg + "path"), static path => path.Attribute("stroke-dasharray") is not null);
            Assert.Equal("#lines", Assert.Single(groups[i].Elements(_svg + "use")).Attribute("href")!.Value);
        }
    }

    [Fact]
    public void Stacked_pictures_stand_below_each_other()
    {
        var panels = new LinePanels("lines", "Losses", []);
        panels.Add(new LineSeries("a", [(0, 1), (1, 2)], Color: 0), "");
        (string Svg, double Width, double Height) one = panels.Draw();
        Assert.Equal(one.Svg, Svg.Stack([one]));
        XElement root = XElement.Parse(Svg.Stack([one, one]));
        Assert.Equal(2 * one.Height, Number(root, "height"));
        Assert.Equal(
            ["translate(0 0)", FormattableString.Invariant($"translate(0 {one.Height})")],
            root.Elements(_svg + "g").Select(static group => group.Attribute("transform")!.Value));
    }

    // The panels in order, all of them within the picture and none over another.
    private static XElement[] AssertPanels(XElement root, int count)
    {
        XElement[] groups = [.. root.Elements(_svg + "g")];
        Assert.Equal(count, groups.Length);
        string[] ids = [.. root.Descendants().Select(static own => own.Attribute("id")?.Value).OfType<string>()];
        Assert.Equal(ids.Length, ids.Distinct().Count());
        (double X, double Y)[] places = [.. groups.Select(static group =>
        {
            double[] numbers =
            [
                .. group.Attribute("transform")!.Value.Split('(', ' ', ')').Skip(1).Take(2)
                    .Select(static text => double.Parse(text, CultureInfo.InvariantCulture)),
            ];
            return (numbers[0], numbers[1]);
        })];
        Assert.Equal(count, places.Distinct().Count());
        Assert.All(places, place =>
        {
            Assert.InRange(place.X, 0, Number(root, "width") - 160);
            Assert.InRange(place.Y, 0, Number(root, "height") - 112);
        });
        return groups;
    }

    private static double Number(XElement element, string attribute) =>
        double.Parse(element.Attribute(attribute)!.Value, CultureInfo.InvariantCulture);

    private static string[] Texts(XElement element) => [.. element.Elements(_svg + "text").Select(static text => text.Value)];

    // Only the lines of data carry a title.
    private static IEnumerable<XElement> Lines(XElement element) =>
        element.Descendants(_svg + "path").Where(static path => path.Element(_svg + "title") is not null);
}
