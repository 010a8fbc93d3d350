using System.Globalization;
using System.Xml.Linq;
using NativeOpt.Cli.Plotting;
using Xunit;

namespace NativeOpt.Cli.Tests.Plotting;

/// <summary>Bars are as long as their values, and have their series' colour.</summary>
public sealed class BarChartTests
{
    [Fact]
    public void Bars_are_as_long_as_their_values()
    {
        var chart = new BarChart("Speeds", ["What is shown."], "GB/s", ["a", "b"]);
        chart.Add("first", [new Bar(20, 18, 21), new Bar(10, 10, 10)]);
        chart.Add("second <&>", [new Bar(5, 4, 6), null]);
        XElement root = XElement.Parse(chart.ToSvg());
        XElement[] bars = [.. Named(root, "rect").Where(static rect => Named(rect, "title").Any())];
        Assert.Equal(
            ["first, a: 20.0", "first, b: 10.0", "second <&>, a: 5.0"], bars.Select(static bar => bar.Value.Trim()));
        double[] widths =
            [.. bars.Select(static bar => double.Parse(bar.Attribute("width")!.Value, CultureInfo.InvariantCulture))];
        Assert.Equal(widths[0] / 2, widths[1], 0.02);
        Assert.Equal(widths[0] / 4, widths[2], 0.02);
        Assert.Equal(bars[0].Attribute("fill")!.Value, bars[2].Attribute("fill")!.Value);
        Assert.NotEqual(bars[0].Attribute("fill")!.Value, bars[1].Attribute("fill")!.Value);
        string[] texts = [.. Named(root, "text").Select(static text => text.Value)];
        Assert.Subset(
            texts.ToHashSet(), new HashSet<string> { "Speeds", "What is shown.", "GB/s", "a", "b", "first", "second <&>" });
    }

    [Fact]
    public void An_empty_chart_is_a_picture() =>
        Assert.Equal("svg", XElement.Parse(new BarChart("t", [], "x", ["a"]).ToSvg()).Name.LocalName);

    private static IEnumerable<XElement> Named(XElement root, string name) =>
        root.Descendants().Where(element => element.Name.LocalName == name);
}
