using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Landscapes;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

public sealed class LandscapeCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_has_examples_and_says_what_rates_mean()
    {
        Shell cli = Shell.Run("landscape", "--help");
        Assert.Equal(0, cli.ExitCode);
        string[] expected =
        [
            "Examples:", "  nativeopt landscape", "half the side", "mean length of the gradient", "eggholder", "sharp-flat", "350,300",
            "deo-adam", "--json",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void All_rules_run_unless_some_are_named()
    {
        JsonElement json = Shell.Run("landscape", "--function", "sharp-flat", "--steps", "3", "--json").Json();
        string[] rules = [.. OptimizerPresets.OfOneCall.Select(static preset => preset.Name)];
        Assert.Equal(rules, json.GetProperty("results").EnumerateArray().Select(static run => Text(run, "optimizer")));
        Assert.Equal(LandscapePlan.DefaultRateFactor, json.GetProperty("rate_factor").GetDouble());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("folder").ValueKind);
        foreach (JsonElement run in json.GetProperty("results").EnumerateArray())
        {
            double byDefault = OptimizerPresets.Find(Text(run, "optimizer"))!["lr"];
            Assert.Equal(byDefault * LandscapePlan.DefaultRateFactor, run.GetProperty("learning_rate").GetDouble());
        }
    }

    [Fact]
    public void Json_csv_and_pictures_say_the_same()
    {
        JsonElement json = Shell.Run(
            "landscape", "--optimizer", "adam,sgd,deo-adam", "--steps", "40", "--noise", "0.5", "--out", Out, "--json").Json();
        Assert.Equal(["eggholder", "sharp-flat"], json.GetProperty("functions").EnumerateArray().Select(static own => Text(own, "name")));
        Assert.Equal(Path.GetFullPath(Out), Text(json, "folder"));
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        string[][] ends = ReadCsv("ends.csv");
        string[][] paths = ReadCsv("paths.csv");
        Assert.Equal(6, results.Length);
        Assert.Equal(7, ends.Length);
        Assert.Equal(["function", "optimizer", "step", "x", "y", "loss"], paths[0]);
        for (int i = 0; i < results.Length; i++)
        {
            Assert.Equal(
                ends[0].Select(column => Text(results[i], column)),
                ends[i + 1].Select(static cell =>
                    double.TryParse(cell, CultureInfo.InvariantCulture, out double number) ? Number(number) : cell));
            string[][] own = [.. paths.Where(row => row[0] == ends[i + 1][0] && row[1] == ends[i + 1][1])];
            Assert.Equal(results[i].GetProperty("steps").GetInt32() + 1, own.Length);
            Assert.Equal(Enumerable.Range(0, own.Length), own.Select(static row => int.Parse(row[2], CultureInfo.InvariantCulture)));
            Assert.Equal(ends[i + 1][6..9], own[^1][3..]);
        }

        Assert.True(results[2].GetProperty("gradient_evaluations").GetInt32() > 40);
        foreach (Landscape landscape in Landscape.All)
        {
            XElement picture = XDocument.Load(Path.Combine(Out, LandscapeFiles.Picture(landscape))).Root!;
            string[] texts =
                [.. picture.Descendants().Where(static own => own.Name.LocalName == "text").Select(static own => own.Value)];
            Assert.Subset(texts.ToHashSet(), new HashSet<string> { "adam", "sgd", "deo-adam", landscape.Equation });

            // The lowest end comes first.
            Assert.Equal(
                results.Where(run => Text(run, "function") == landscape.Name).OrderBy(static run => run.GetProperty("loss").GetDouble())
                    .Select(static run => Text(run, "optimizer")),
                texts.Where(static text => text is "adam" or "sgd" or "deo-adam"));
        }
    }

    [Fact]
    public void People_get_a_table_without_escape_sequences_and_no_files_unless_asked_for()
    {
        string[] args = ["landscape", "--function", "sharp-flat", "--optimizer", "adam,sgd", "--steps", "2000"];
        Shell cli = Shell.Run(args);
        Assert.Equal(0, cli.ExitCode);
        Assert.DoesNotContain('\e', cli.Output);
        foreach (string text in new[] { "sharp-flat: done", "│ adam ", "after 2,000 steps", "sharpness", "from (-2.5, 0.6)" })
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("-0 ", cli.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("written to", cli.Output, StringComparison.Ordinal);
        Assert.Contains(
            $"written to {Out}: ends.csv, paths.csv, sharp-flat.svg", Shell.Run([.. args, "--out", Out]).Output,
            StringComparison.Ordinal);
        Assert.Contains(
            "sgd: ended before step 1, which would have left the square", Shell.Run([.. args, "--learning-rate", "1000"]).Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_seed_selects_the_noise()
    {
        string first = EndOf("--noise", "1", "--seed", "2");
        Assert.Equal(first, EndOf("--noise", "1", "--seed", "2"));
        Assert.NotEqual(first, EndOf("--noise", "1", "--seed", "3"));
        Assert.NotEqual(first, EndOf());
        Assert.Equal(EndOf("--seed", "2"), EndOf("--seed", "3"));

        static string EndOf(params string[] args) =>
            Shell.Run(["landscape", "--optimizer", "adam", "--steps", "20", "--json", .. args]).Json().GetProperty("results").GetRawText();
    }

    [Fact]
    public void One_rate_and_another_start()
    {
        JsonElement json = Shell.Run(
            "landscape", "--function", "eggholder", "--start", "-12.5,1e2", "--learning-rate", "0.002", "--optimizer", "adam,lion",
            "--steps", "1", "--json").Json();
        Assert.Equal(JsonValueKind.Null, json.GetProperty("rate_factor").ValueKind);
        JsonElement start = json.GetProperty("functions")[0].GetProperty("start");
        Assert.Equal([-12.5, 100], start.EnumerateArray().Select(static coordinate => coordinate.GetDouble()));
        foreach (JsonElement run in json.GetProperty("results").EnumerateArray())
        {
            // Both first steps are of the size of the rate, in half widths, whatever the gradient is.
            Assert.Equal(0.002, run.GetProperty("learning_rate").GetDouble());
            Assert.Equal(0.002 * 512, Math.Abs(run.GetProperty("x").GetDouble() + 12.5), 1e-3);
            Assert.Equal(0.002 * 512, Math.Abs(run.GetProperty("y").GetDouble() - 100), 1e-3);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cancellation_leaves_no_files_and_says_so(bool json)
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        string[] args = ["landscape", "--out", Out];
        Shell cli = Shell.RunUntil(stop.Token, json ? [.. args, "--json"] : args);
        Assert.Equal(130, cli.ExitCode);
        Assert.Contains("there is no result", json ? cli.Error : cli.Output, StringComparison.Ordinal);
        Assert.Equal(json, cli.Output.Length == 0);
        Assert.Empty(Directory.GetFiles(Out));
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy_before_anything_is_done()
    {
        Refuse(["--function", "egholder"], "--function egholder", "did you mean eggholder?", "sharp-flat");
        Refuse(["--optimizer", "adm"], "--optimizer adm", "did you mean adam?", "deo-sgd");
        Refuse(["--optimizer", "adam,adam"], "each once, separated by commas");
        Refuse(["--optimizer", "swats"], "there is no swats", "adamw");
        Refuse(["--steps", "0"], "--steps 0", "from 1 to 20000");
        Refuse(["--noise", "-1"], "--noise -1", "at least 0");
        Refuse(["--seed", "-1"], "--seed -1", "from 0");
        Refuse(["--rate-factor", "0"], "--rate-factor 0", "above 0");
        Refuse(["--rate-factor", "1e38"], "--rate-factor: the learning rate of", "would be", "must be");
        Refuse(["--learning-rate", "0.1", "--rate-factor", "2"], "--learning-rate and --rate-factor", "leave one out");
        Refuse(["--start", "1"], "--start 1", "two numbers");
        Refuse(["--start", "1,two"], "--start 1,two", "two numbers");
        Refuse(["--start", "1,2"], "--start", "--function");
        Refuse(["--start", "1,-4", "--function", "sharp-flat"], "--start 1,-4", "from -3 to 3");
        Refuse(["--stepz", "1"], "--stepz", "did you mean --steps?", "nativeopt landscape --help");
        Assert.False(Path.Exists(Out));
        string file = _folder.Write("a file", "");
        Shell.Run("landscape", "--out", Path.Combine(file, "below")).AssertRefused(2, "--out", file, "can be written to");

        void Refuse(string[] args, params string[] words) =>
            Shell.Run(["landscape", "--out", Out, .. args]).AssertRefused(2, words);
    }

    private static string Text(JsonElement element, string property) =>
        element.GetProperty(property) is { ValueKind: JsonValueKind.Number } number
            ? Number(number.GetDouble()) : element.GetProperty(property).GetString()!;

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);

    private string[][] ReadCsv(string name) =>
        [.. File.ReadAllLines(Path.Combine(Out, name)).Select(static line => line.Split(','))];
}
