using System.Globalization;
using System.Xml.Linq;
using NativeOpt.Cli.Plotting;
using Xunit;

namespace NativeOpt.Cli.Tests.Plotting;

/// <summary>Charts are well-formed XML that shows what it was given.</summary>
public sealed class LineChartTests
{
    private static readonly XNamespace _svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void ShowsTitlesLabelsSeriesAndReferences()
    {
        LineChart chart = Create();
        chart.AddReference("unigram entropy", 3.2);
        XElement root = Parse(chart);
        string[] texts = Texts(root);
        Assert.Subset(
            texts.ToHashSet(),
            new HashSet<string> { "Loss", "step", "nats", "train", "validation", "unigram entropy" });
        XElement[] lines = [.. Lines(root)];
        Assert.Equal(["train", "validation"], lines.Select(static line => line.Value));
        Assert.NotNull(lines[0].Attribute("stroke-dasharray"));
        Assert.Null(lines[1].Attribute("stroke-dasharray"));
        Assert.NotEqual(lines[0].Attribute("stroke")?.Value, lines[1].Attribute("stroke")?.Value);
        Assert.Contains(
            root.Elements(_svg + "rect"), static rect => rect.Attribute("fill")?.Value == "#ffffff");
    }

    [Fact]
    public void SeriesOfOneColorShareIt()
    {
        var chart = new LineChart("t", "x", "y");
        chart.Add(new LineSeries("a", [(0, 1), (1, 2)], Color: 1));
        chart.Add(new LineSeries("b", [(0, 2), (1, 3)], Color: 1, Dashed: true));
        chart.Add(new LineSeries("c", [(0, 2), (1, 3)], Color: -1));
        string?[] colors = [.. Lines(Parse(chart)).Select(static line => line.Attribute("stroke")?.Value)];
        Assert.Equal(colors[0], colors[1]);
        Assert.NotEqual(colors[0], colors[2]);
    }

    [Fact]
    public void Spreads_are_a_band_behind_all_lines_that_the_axis_has_room_for()
    {
        var chart = new LineChart("t", "x", "y");
        chart.Add(new LineSeries("a", [(0, 1), (1, 2)], Color: 0) { Spreads = [0.5, 8] });
        chart.Add(new LineSeries("b", [(0, 1), (1, 2)], Color: 1));
        XElement root = Parse(chart);
        XElement band = Assert.Single(root.Elements(_svg + "path"), static path => path.Attribute("fill-opacity") is not null);
        Assert.Equal(3, band.Attribute("d")!.Value.Count(static letter => letter == 'L')); // two points above, two below
        Assert.All(Lines(root), line => Assert.True(band.IsBefore(line)));
        Assert.Subset(Texts(root).ToHashSet(), new HashSet<string> { "-10", "10" }); // from -6 to 10
    }

    [Fact]
    public void PointsThatAreNotFiniteInterruptTheLine()
    {
        var chart = new LineChart("Diverged", "step", "loss");
        chart.Add("a", [(0, 1), (1, 2), (2, double.NaN), (3, 3), (4, double.PositiveInfinity), (5, 1), (6, 2)]);
        chart.Add("b", [(0, double.NaN), (double.NegativeInfinity, 1)]);
        chart.AddReference("nowhere", double.NaN);
        string svg = chart.ToSvg();
        Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        Assert.DoesNotContain("Infinity", svg, StringComparison.Ordinal);
        Assert.DoesNotContain("\u221E", svg, StringComparison.Ordinal);
        XElement line = Assert.Single(Lines(XElement.Parse(svg)));
        string path = line.Attribute("d")!.Value;
        Assert.Equal(3, path.Count(static c => c == 'M'));
        Assert.Contains("h0", path, StringComparison.Ordinal); // the lone point (3, 3) is a dot
    }

    [Theory]
    [InlineData("<b> & \"quotes\" 'x'", "<b> & \"quotes\" 'x'")]
    [InlineData("β₂ = 0.99 🙂", "β₂ = 0.99 🙂")]
    [InlineData("bell\u0007 and\ttab", "bell and tab")]
    public void TextIsEscaped(string text, string shown)
    {
        var chart = new LineChart(text, text, text);
        chart.Add(text, [(0, 1), (1, 2)]);
        chart.AddReference(text, 1.5);
        Assert.Equal(5, Texts(Parse(chart)).Count(actual => actual == shown));
    }

    [Fact]
    public void HalfASurrogatePairIsReplaced()
    {
        string[] texts = Texts(Parse(new LineChart("half \uD83D", "x", "y")));
        Assert.Contains("half \uFFFD", texts);
    }

    [Fact]
    public void NumbersDoNotDependOnTheCulture()
    {
        string expected = Create().ToSvg();
        CultureInfo saved = CultureInfo.CurrentCulture;
        try
        {
            var comma = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            comma.NumberFormat.NumberDecimalSeparator = ",";
            comma.NumberFormat.NegativeSign = "~";
            CultureInfo.CurrentCulture = comma;
            Assert.Equal(expected, Create().ToSvg());
        }
        finally
        {
            CultureInfo.CurrentCulture = saved;
        }
    }

    [Fact]
    public void WhatALogarithmicAxisHasNoPlaceForInterruptsTheLine()
    {
        (double, double)[] points = [(1, 1), (10, 0), (100, 10), (1000, -1), (10000, 100), (0, 10), (100000, 1000)];
        var chart = new LineChart("t", "x", "y") { IsXLogarithmic = true, IsYLogarithmic = true };
        chart.Add("a", points);
        chart.AddReference("nowhere", 0);
        XElement root = Parse(chart);
        Assert.DoesNotContain("nowhere", Texts(root));
        Assert.Equal(4, Assert.Single(Lines(root)).Attribute("d")!.Value.Count(static c => c == 'M'));

        var linear = new LineChart("t", "x", "y");
        linear.Add("a", points);
        Assert.Single(Assert.Single(Lines(Parse(linear))).Attribute("d")!.Value, 'M');
    }

    [Fact]
    public void PowersAreAStraightLineOnLogarithmicAxes()
    {
        var chart = new LineChart("t", "x", "y") { IsXLogarithmic = true, IsYLogarithmic = true };
        chart.Add("a", [(1, 1), (10, 100), (100, 10000)]);
        string path = Assert.Single(Lines(Parse(chart))).Attribute("d")!.Value;
        double[][] places =
        [
            .. path.Split('M', 'L').Skip(1).Select(static point =>
                point.Split(' ').Select(static text => double.Parse(text, CultureInfo.InvariantCulture)).ToArray()),
        ];
        Assert.Equal((places[0][0] + places[2][0]) / 2, places[1][0], 0.01);
        Assert.Equal((places[0][1] + places[2][1]) / 2, places[1][1], 0.01);
    }

    [Fact]
    public void LinesStayInsideThePictureAndLegendWraps()
    {
        var chart = new LineChart("Many", "step", "loss");
        for (int i = 0; i < 12; i++)
        {
            int slope = i;
            chart.Add($"optimizer number {i}", [.. Enumerable.Range(0, 50).Select(x => (x * 1.0, slope / (x + 1.0)))]);
        }

        XElement root = Parse(chart);
        Assert.Equal(12, Lines(root).Count());
        foreach (XElement text in root.Elements(_svg + "text"))
        {
            Assert.InRange(double.Parse(text.Attribute("x")!.Value, CultureInfo.InvariantCulture), 0, 820);
            Assert.InRange(double.Parse(text.Attribute("y")!.Value, CultureInfo.InvariantCulture), 0, 480);
        }
    }

    [Fact]
    public void EmptyChartIsStillAPicture() => Assert.NotEmpty(Texts(Parse(new LineChart("Empty", "x", "y"))));

    private static LineChart Create()
    {
        var chart = new LineChart("Loss", "step", "nats");
        chart.Add("train", [(0, 4.5), (50, 3.25), (100, 2.125)], dashed: true);
        chart.Add("validation", [(0, 4.4), (100, 2.5)]);
        return chart;
    }

    private static XElement Parse(LineChart chart) => XElement.Parse(chart.ToSvg());

    private static string[] Texts(XElement root) => [.. root.Elements(_svg + "text").Select(static t => t.Value)];

    // Only the lines of series carry a title.
    private static IEnumerable<XElement> Lines(XElement root) =>
        root.Elements(_svg + "path").Where(static path => path.Element(_svg + "title") is not null);
}
