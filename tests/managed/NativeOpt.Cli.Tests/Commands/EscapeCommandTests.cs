using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using NativeOpt.Cli.Landscapes.Escapes;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

public sealed class EscapeCommandTests : IDisposable
{
    private static readonly string[] _quick =
        ["landscape", "escape", "--starts", "20", "--curvatures", "2", "--batch-size", "0.2", "--optimizer", "adam,invadam"];

    private readonly TemporaryFolder _folder = new();

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_says_what_is_tested_and_how_long_it_takes()
    {
        Shell cli = Shell.Run("landscape", "escape", "--help");
        Assert.Equal(0, cli.ExitCode);
        foreach (string text in new[] { "Examples:", "Theorem 1", "H^(-3/2)", "a minute or two on two cores", "--fixed-noise" })
        {
            Assert.Contains(text, cli.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Json_csv_and_picture_say_the_same()
    {
        JsonElement json = Shell.Run([.. _quick, "--out", Out, "--json"]).Json();
        JsonElement[] wells = [.. json.GetProperty("wells").EnumerateArray()];
        string[][] csv = [.. File.ReadAllLines(Path.Combine(Out, EscapeFiles.Times)).Select(static line => line.Split(','))];
        Assert.Equal(2 * 2 * EscapePlan.Barriers.Count, wells.Length);
        Assert.Equal(1 + wells.Length, csv.Length);
        foreach ((JsonElement well, string[] row) in wells.Zip(csv.Skip(1)))
        {
            Assert.Equal(well.GetProperty("optimizer").GetString(), row[0]);
            Assert.Equal(well.GetProperty("curvature").GetDouble(), double.Parse(row[1], CultureInfo.InvariantCulture));
            Assert.Equal(
                well.GetProperty("mean_time").GetProperty("value").GetDouble(), double.Parse(row[6], CultureInfo.InvariantCulture));
            Assert.InRange(well.GetProperty("escapes").GetInt32(), 18, 20);
        }

        JsonElement[] laws = [.. json.GetProperty("laws").EnumerateArray()];
        Assert.Equal([-0.5, -1.5], laws.Select(static law => law.GetProperty("predicted").GetDouble()));
        IEnumerable<string> texts = XDocument.Load(Path.Combine(Out, EscapeFiles.Picture)).Root!.Descendants()
            .Where(static own => own.Name.LocalName == "text").Select(static own => own.Value);
        Assert.Contains("adam, 1", texts);
    }

    [Fact]
    public void People_get_a_table_and_a_verdict()
    {
        Shell cli = Shell.Run([.. _quick, "--fixed-noise"]);
        Assert.Equal(0, cli.ExitCode);
        foreach (string text in new[] { "12 wells: done", "│ adam ", "p = 0 ", "holds here", "noise of the variance 1/0.2" })
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void What_is_finished_is_not_done_again()
    {
        string[] args = [.. _quick, "--out", Out];
        Shell.Run(args);
        string[] names = [EscapeFiles.Times, EscapeFiles.Picture];
        string[] whole = [.. names.Select(name => File.ReadAllText(Path.Combine(Out, name)))];

        // As a command leaves it that was stopped: some wells, and one of them with a time that no simulation gives.
        string file = Path.Combine(Out, "runs.json");
        JsonNode runs = JsonNode.Parse(File.ReadAllText(file))!;
        JsonObject wells = runs["runs"]!.AsObject();
        Assert.Equal(2 * 2 * EscapePlan.Barriers.Count, wells.Count);
        foreach (string well in wells.Select(static pair => pair.Key).Skip(3).ToArray())
        {
            wells.Remove(well);
        }

        File.WriteAllText(file, runs.ToJsonString());
        Assert.Equal(0, Shell.Run([.. args, "--resume"]).ExitCode);
        Assert.Equal(whole, names.Select(name => File.ReadAllText(Path.Combine(Out, name))));

        wells.First().Value!["times"]![0]!["steps"] = 123456789;
        File.WriteAllText(file, runs.ToJsonString());
        Assert.Equal(0, Shell.Run([.. args, "--resume"]).ExitCode);
        Assert.NotEqual(whole[0], File.ReadAllText(Path.Combine(Out, names[0])));
        Shell.Run([.. args, "--resume", "--seed", "2"]).AssertRefused(2, "--resume", "seed, 1 there and 2 here");
        Shell.Run([.. _quick, "--resume"]).AssertRefused(2, "--resume", "--out");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cancellation_leaves_no_files_and_says_so(bool json)
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        string[] args = ["landscape", "escape", "--out", Out];
        Shell cli = Shell.RunUntil(stop.Token, json ? [.. args, "--json"] : args);
        Assert.Equal(130, cli.ExitCode);
        Assert.Contains("there is no result", json ? cli.Error : cli.Output, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Out));
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy()
    {
        Refuse(["--optimizer", "lion"], "there is no lion", "invadam");
        Refuse(["--starts", "3"], "--starts 3", "from 20");
        Refuse(["--curvatures", "1"], "--curvatures 1", "from 2");
        Refuse(["--batch-size", "0"], "--batch-size 0", "above 0");
        Refuse(["--batch-size", "1e38"], "--batch-size", "learning rate of", "nearer to 1");
        Refuse(["--startz", "9"], "did you mean --starts?", "nativeopt landscape escape --help");

        static void Refuse(string[] args, params string[] words) =>
            Shell.Run(["landscape", "escape", .. args]).AssertRefused(2, words);
    }
}
