using System.Globalization;
using System.Xml.Linq;
using NativeOpt.Cli.Benchmarks;
using Xunit;

namespace NativeOpt.Cli.Tests.Benchmarks;

/// <summary>The picture of sizes, of results that are made up.</summary>
public class BenchFilesTests
{
    private static readonly XNamespace _svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void Lines_are_nanoseconds_of_an_element()
    {
        // Of NativeOpt 100, 10 and 1 ns, of the floor a tenth, of the loop twice as much; the rows are in no order.
        XElement panel = Assert.Single(Panels([Row(100, 1e-6), Row(1, 1e-7), Row(10000, 1e-5)]));
        string[] texts = Texts(panel);
        string[] labels = ["adam: float32", "elements of one tensor (cpu, threads: 2)", "nanoseconds per element"];
        Assert.Subset(texts.ToHashSet(), labels.ToHashSet());
        Assert.Subset(texts.ToHashSet(), new HashSet<string> { "nativeopt", "floor", "loop", "1", "10", "100", "1k", "10k" });

        XElement[] lines = [.. Lines(panel)];
        Assert.Equal(["nativeopt", "floor", "loop"], lines.Select(static line => line.Value));
        Assert.Equal([false, true, false], lines.Select(static line => line.Attribute("stroke-dasharray") is not null));

        // Where the ticks say that they are.
        (double X, double Y)[] own = Points(lines[0]);
        Assert.Equal([Tick("1"), Tick("100"), Tick("10k")], own.Select(static point => point.X));
        Assert.Equal(3, own.Length);
        Assert.True(own[0].Y < own[1].Y && own[1].Y < own[2].Y); // downward
        Assert.Equal(own[1].Y, Points(lines[1])[0].Y, 0.02); // 10 ns both

        double Tick(string label) => panel.Elements(_svg + "text")
            .Where(text => text.Value == label && text.Attribute("text-anchor")!.Value == "middle")
            .Select(static text => Number(text.Attribute("x")!.Value)).Single();
    }

    [Fact]
    public void Only_rules_of_three_sizes_of_one_tensor_are_shown()
    {
        BenchResult[] two = [Row(1, 1), Row(2, 1)];
        Assert.Empty(Panels(two));
        Assert.Empty(Panels([.. two, Row(2, 2) with { Shape = "again" }]));
        Assert.Empty(Panels([.. two, Row(3, 1) with { Tensors = 3 }]));
        Assert.Empty(Panels([.. two, Row(3, 1) with { Rule = "sgd" }]));
        Assert.Empty(Panels([.. two, Row(3, 1) with { Threads = 1 }]));
        Assert.Empty(Panels([.. two, Row(3, 1) with { StateDtype = "dynamic8" }]));

        BenchResult[] others = [Row(9, 1) with { Tensors = 3 }, Row(9, 1) with { Rule = "sgd" }];
        XElement panel = Assert.Single(Panels([.. two, Row(3, 1), .. others]));
        Assert.All(Lines(panel), static line => Assert.Equal(3, Points(line).Length));
    }

    [Fact]
    public void Types_are_named_and_peers_may_be_absent()
    {
        XElement panel = Assert.Single(Panels(
        [
            .. new long[] { 1, 2, 3 }.Select(static elements => Row(elements, 1) with
            {
                StateDtype = "dynamic8",
                Backend = "cuda",
                Threads = null,
                Peers = new Dictionary<string, double>(),
            }),
        ]));
        Assert.Contains("adam: float32, states dynamic8", Texts(panel));
        Assert.Contains("elements of one tensor (cuda)", Texts(panel));
        Assert.Equal(["nativeopt", "floor"], Lines(panel).Select(static line => line.Value));
    }

    [Fact]
    public void Rules_beyond_six_have_no_panel()
    {
        IEnumerable<BenchResult> rows = Enumerable.Range(1, 8).SelectMany(static rule =>
            new long[] { 1, 2, 3 }.Select(elements => Row(elements, 1) with { Rule = $"rule{rule}" }));
        Assert.Equal(
            ["rule1", "rule2", "rule3", "rule4", "rule5", "rule6"],
            Panels([.. rows]).Select(static panel => Texts(panel)[0].Split(':')[0]));
    }

    private static BenchResult Row(long elements, double seconds) => new(
        "adam", "cpu", "x86-64-v3", 2, $"1x{elements}", elements, 1, "float32", "float32", "none", seconds, Spread: 0, Rounds: 3,
        28, 1, 1, 1, seconds / 10, 0, "woven", new Dictionary<string, double> { ["loop"] = 2 * seconds },
        new Dictionary<string, double> { ["loop"] = 0 });

    /// <summary>The panels of the picture; none if there is no such file.</summary>
    private static XElement[] Panels(IReadOnlyList<BenchResult> results) =>
    [
        .. BenchFiles.Of(results, [], "nativeopt bench").Where(static file => file.Name == "sizes.svg")
            .SelectMany(static file => XElement.Parse(file.Text).DescendantsAndSelf(_svg + "svg"))
            .Where(static svg => svg.Attribute("role") is not null),
    ];

    private static string[] Texts(XElement panel) => [.. panel.Elements(_svg + "text").Select(static text => text.Value)];

    private static IEnumerable<XElement> Lines(XElement panel) =>
        panel.Elements(_svg + "path").Where(static path => path.Element(_svg + "title") is not null);

    private static (double X, double Y)[] Points(XElement line) =>
    [
        .. line.Attribute("d")!.Value.Split('M', 'L').Skip(1).Select(static point => point.Split(' '))
            .Select(static point => (Number(point[0]), Number(point[1]))),
    ];

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
