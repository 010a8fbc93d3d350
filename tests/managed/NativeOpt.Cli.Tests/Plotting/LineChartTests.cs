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

    [Theory]
    [InlineData(0.0, 1000.0, 0.0, 1000.0, "0,200,400,600,800,1000")]
    [InlineData(1.37, 4.61, 1.0, 5.0, "1,2,3,4,5")]
    [InlineData(-0.31, 0.42, -0.4, 0.6, "-0.4,-0.2,0.0,0.2,0.4,0.6")]
    [InlineData(2.0, 2.0, 1.8, 2.2, "1.8,1.9,2.0,2.1,2.2")]
    [InlineData(0.0, 0.0, -1.0, 1.0, "-1.0,-0.5,0.0,0.5,1.0")]
    [InlineData(0.00001, 0.00003, 0.00001, 0.00003, "1e-5,1.5e-5,2e-5,2.5e-5,3e-5")]
    public void TicksAreRoundAndEncloseTheValues(double low, double high, double first, double last, string labels)
    {
        var axis = new LineChart.Axis([low, high], 0, 100, 5);
        Assert.Equal(labels, string.Join(',', axis.Ticks.Select(axis.Label)));
        Assert.Equal(first, axis.First, 1e-12);
        Assert.Equal(last, axis.Last, 1e-12);
        Assert.Equal(0, axis.Place(axis.First), 1e-9);
        Assert.Equal(100, axis.Place(axis.Last), 1e-9);
    }

    [Theory]
    [InlineData(1e-300, 2e-300)]
    [InlineData(-1e300, 1e300)]
    [InlineData(1, 1.0000000001)]
    [InlineData(0, 123456789)]
    [InlineData(3.3, 97.1)]
    public void TicksAreFewAtAnyScale(double low, double high)
    {
        var axis = new LineChart.Axis([low, high], 0, 100, 8);
        Assert.InRange(axis.Ticks.Length, 2, 10);
        Assert.True(axis.First <= low && axis.Last >= high);
        Assert.Equal(axis.Ticks.Length, axis.Ticks.Select(axis.Label).Distinct().Count());
    }

    [Theory]
    [InlineData(1.0, 262144.0, "1,10,100,1k,10k,100k,1M")]
    [InlineData(1.0, 1000.0, "1,10,100,1k")]
    [InlineData(0.3, 40.0, "0.2,0.5,1,2,5,10,20,50")]
    [InlineData(0.0001, 0.001, "0.0001,0.0002,0.0005,0.001")]
    [InlineData(2.0, 2.0, "1,2,5")]
    [InlineData(1e-6, 1e12, "1e-6,0.001,1,1k,1M,1G,1e12")]
    public void LogarithmicTicksAreRoundAndEncloseTheValues(double low, double high, string labels)
    {
        var axis = new LineChart.Axis([high, low], 0, 100, 7, isLogarithmic: true);
        Assert.Equal(labels, string.Join(',', axis.Ticks.Select(axis.Label)));
        Assert.True(axis.First <= low && axis.Last >= high);
        Assert.Equal(0, axis.Place(axis.First), 1e-9);
        Assert.Equal(50, axis.Place(Math.Sqrt(axis.First * axis.Last)), 1e-9);
        Assert.Equal(100, axis.Place(axis.Last), 1e-9);
    }

    [Fact]
    public void ALogarithmicAxisOfNothingHasTicks() =>
        Assert.Equal([1, 2, 5, 10], new LineChart.Axis([], 0, 100, 7, isLogarithmic: true).Ticks);

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

    [Fact]
    public void SaveWritesTheSameText()
    {
        string path = Path.Combine(Path.GetTempPath(), $"nativeopt-{Guid.NewGuid():N}.svg");
        try
        {
            Create().Save(path);
            Assert.Equal(Create().ToSvg(), File.ReadAllText(path));
        }
        finally
        {
            File.Delete(path);
        }
    }

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
