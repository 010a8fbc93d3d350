using System.Globalization;
using System.Xml.Linq;
using NativeOpt.Cli.Plotting;
using Xunit;

namespace NativeOpt.Cli.Tests.Saddles;

/// <summary>Dots are where their values are, and what is beyond the limit is no dot.</summary>
public sealed class DotChartTests
{
    private static readonly XNamespace _svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void Shows_titles_labels_and_dots_in_their_panels()
    {
        XElement root = Draw(new DotRow("first", 0, false, [new Dot(10, 5, 20), new Dot(100, 100, 100)]));
        string[] texts = [.. root.Elements(_svg + "text").Select(static text => text.Value)];
        string[] expected = ["Title & more", "caption", "steps", "left", "right", "group", "first", ">1,000", "100"];
        Assert.Subset(texts.ToHashSet(), expected.ToHashSet());

        XElement[] dots = [.. root.Elements(_svg + "circle")];
        Assert.Equal(2, dots.Length);
        Assert.Equal("group first, left: 10 (5-20)", dots[0].Value);
        Assert.Equal(dots[0].Attribute("cy")!.Value, dots[1].Attribute("cy")!.Value);
        Assert.Contains(root.Elements(_svg + "rect"), static rect => rect.Attribute("fill")?.Value == "#ffffff");
    }

    [Fact]
    public void Places_are_logarithms()
    {
        double[] x =
        [
            .. new[] { 1.0, 10, 100, 1000 }.Select(static value => Number(
                Draw(new DotRow("row", 0, false, [new Dot(value, 1, 1000), null])).Elements(_svg + "circle").Single(), "cx")),
        ];
        Assert.Equal(x[1] - x[0], x[2] - x[1], 0.02);
        Assert.Equal(x[2] - x[1], x[3] - x[2], 0.02);
        Assert.True(x[0] < x[1]);
    }

    [Fact]
    public void What_is_beyond_the_limit_has_other_marks()
    {
        const double never = double.PositiveInfinity;
        XElement root = Draw(
            new DotRow("some", 1, false, [new Dot(never, 10, never), new Dot(never, never, never)]),
            new DotRow("none", 1, true, [new Dot(never, never, never, Cross: true), null]));
        Assert.Empty(root.Elements(_svg + "circle"));
        XElement[] marks = [.. root.Elements(_svg + "path").Where(static path => path.Element(_svg + "title") is not null)];
        Assert.Equal(3, marks.Length);
        Assert.EndsWith("z", marks[0].Attribute("d")!.Value, StringComparison.Ordinal);
        Assert.Equal("group some, left: >1,000", marks[0].Value);
        Assert.Equal("group none, left: diverged", marks[2].Value);
        Assert.Contains(root.Elements(_svg + "text"), static text => text.Value == "n/a");
        Assert.DoesNotContain("NaN", root.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("\u221E", root.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("Infinity", root.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Rings_are_hollow_and_share_their_colour()
    {
        XElement root = Draw(
            new DotRow("a", 2, false, [new Dot(10, 10, 10), null]), new DotRow("b", 2, true, [new Dot(20, 20, 20), null]));
        XElement[] dots = [.. root.Elements(_svg + "circle")];
        Assert.Equal(dots[0].Attribute("stroke")!.Value, dots[1].Attribute("stroke")!.Value);
        Assert.Equal(dots[0].Attribute("stroke")!.Value, dots[0].Attribute("fill")!.Value);
        Assert.Equal("#ffffff", dots[1].Attribute("fill")!.Value);
    }

    private static double Number(XElement element, string attribute) =>
        double.Parse(element.Attribute(attribute)!.Value, CultureInfo.InvariantCulture);

    private static XElement Draw(params DotRow[] rows)
    {
        var chart = new DotChart("Title & more", ["caption"], "steps", ["left", "right"], 1000);
        chart.Add("group", rows);
        return XElement.Parse(chart.ToSvg());
    }
}
