using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Hessians;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

/// <summary>What <c>nativeopt train --save</c> leaves is what <c>nativeopt hessian</c> reads.</summary>
public sealed class HessianCommandTests : IDisposable
{
    private static readonly string[] _quick =
    [
        "--windows", "9", "--lanczos-steps", "6", "--probes", "2", "--density-steps", "4", "--directions", "2", "--eigenvalues", "3",
    ];

    private readonly TemporaryFolder _folder = new();

    private string Text => _folder.Write("text.txt", string.Concat(Enumerable.Range(0, 900).Select(static i => $"{i} and {i * i}\n")));

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_has_examples_and_says_how_long_it_takes()
    {
        Shell cli = Shell.Run("hessian", "--help");
        Assert.Equal(0, cli.ExitCode);
        foreach (string text in new[] { "Examples:", "minutes on two cores", "Lanczos", "--filter-normalization", "train --save" })
        {
            Assert.Contains(text, cli.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Json_csv_and_pictures_say_the_same()
    {
        string[] files = Train();
        JsonElement json = Shell.Run(["hessian", .. files, "--text", Text, .. _quick, "--out", Out, "--json"]).Json();
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        Assert.Equal(["adam", "sgd"], results.Select(static result => result.GetProperty("name").GetString()));
        string[][] eigenvalues = ReadCsv(HessianFiles.Eigenvalues);
        string[][] losses = ReadCsv(HessianFiles.Flatness);
        Assert.Equal(1 + (2 * 2 * 3), eigenvalues.Length);
        Assert.Equal(1 + (2 * 2 * HessianPlan.Points), losses.Length);
        foreach (JsonElement result in results)
        {
            string name = result.GetProperty("name").GetString()!;
            foreach (string end in new[] { "largest", "smallest" })
            {
                Assert.Equal(
                    result.GetProperty(end).EnumerateArray().Select(static pair => Number(pair.GetProperty("value").GetDouble())),
                    eigenvalues.Where(row => row[0] == name && row[1] == end).Select(static row => row[3]));
            }

            double[] line = [.. result.GetProperty("losses")[1].EnumerateArray().Select(static loss => loss.GetDouble())];
            Assert.Equal(
                line.Select(Number), losses.Where(row => row[0] == name && row[1] == "2").Select(static row => row[3]));
            Assert.Equal(result.GetProperty("loss").GetDouble(), line[line.Length / 2]);
            Assert.True(result.GetProperty("largest")[0].GetProperty("value").GetDouble() > 0);
            Assert.True(result.GetProperty("trace_standard_error").GetDouble() >= 0);
            Assert.All(
                result.GetProperty("checks").EnumerateArray(),
                static check => Assert.InRange(check.GetProperty("relative_difference").GetDouble(), 0, 0.05));
        }

        foreach (string picture in new[] { HessianFiles.DensityPicture, HessianFiles.FlatnessPicture })
        {
            IEnumerable<string> texts = XDocument.Load(Path.Combine(Out, picture)).Root!.Descendants()
                .Where(static own => own.Name.LocalName == "text").Select(static own => own.Value);
            Assert.Subset(texts.ToHashSet(), new HashSet<string> { "adam", "sgd" });
        }
    }

    [Fact]
    public void Seeds_count_and_threads_do_not()
    {
        string file = Train()[0];
        string first = Results("--seed", "2", "--threads", "1");
        Assert.Equal(first, Results("--seed", "2", "--threads", "2"));
        Assert.NotEqual(first, Results("--seed", "3"));
        Assert.NotEqual(first, Results("--seed", "2", "--filter-normalization"));

        string Results(params string[] args) =>
            Shell.Run(["hessian", file, "--text", Text, .. _quick, "--json", .. args]).Json().GetProperty("results").GetRawText();
    }

    [Fact]
    public void People_get_a_table_and_are_told_of_another_text()
    {
        string file = Train()[0];
        Shell cli = Shell.Run(["hessian", file, "--text", Text, .. _quick]);
        Assert.Equal(0, cli.ExitCode);
        foreach (string text in new[] { "adam: done", "│ adam ", "largest", "exact products against gradient differences", "9 windows" })
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("another text", cli.Output, StringComparison.Ordinal);
        string other = _folder.Write("other.txt", string.Concat(Enumerable.Repeat("another one\n", 100)));
        Assert.Contains(
            "adam: was trained on another text", Shell.Run(["hessian", file, "--text", other, .. _quick]).Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Cancellation_leaves_no_files_and_says_so()
    {
        using var stop = new CancellationTokenSource();
        string file = Train()[0];
        stop.Cancel();
        Shell cli = Shell.RunUntil(stop.Token, "hessian", file, "--text", Text, "--out", Out);
        Assert.Equal(130, cli.ExitCode);
        Assert.Contains("after 0 of 1 solutions", cli.Output, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Out));
    }

    [Fact]
    public void Solutions_that_are_done_are_not_done_again()
    {
        string[] files = Train();
        JsonElement first = Results(files[..1]);
        string runs = Path.Combine(Out, "runs.json");
        string loss = first[0].GetProperty("loss").GetRawText();
        File.WriteAllText(runs, File.ReadAllText(runs).Replace($"\"loss\": {loss}", "\"loss\": 123", StringComparison.Ordinal));
        JsonElement both = Results([.. files, "--resume"]);
        Assert.Equal(123, both[0].GetProperty("loss").GetDouble()); // what was kept is taken
        foreach (string same in new[] { "largest", "trace", "losses", "checks" })
        {
            Assert.Equal(first[0].GetProperty(same).GetRawText(), both[0].GetProperty(same).GetRawText());
        }

        Assert.Equal("sgd", both[1].GetProperty("name").GetString());
        Shell.Run(["hessian", files[0], "--text", Text, .. _quick, "--seed", "2", "--out", Out, "--resume"])
            .AssertRefused(2, "hessian.seed, 1 there and 2 here");
        Shell.Run("hessian", files[0], "--text", Text, "--resume").AssertRefused(2, "--resume", "--out");

        JsonElement Results(string[] args) =>
            Shell.Run(["hessian", .. args, "--text", Text, .. _quick, "--out", Out, "--json"]).Json().GetProperty("results");
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy()
    {
        string file = Train()[0];
        Shell.Run("hessian").AssertRefused(2, "hessian --help");
        Shell.Run("hessian", _folder.File("none")).AssertRefused(2, "none", "train --save");
        Shell.Run("hessian", Text).AssertRefused(2, "text.txt", "no safetensors file", "train --save");
        Shell.Run("hessian", file, "--text", _folder.File("none")).AssertRefused(2, "--text", "Name a readable text file");
        Shell.Run("hessian", file, "--text", _folder.Write("short", "short")).AssertRefused(2, "--text", "long enough");
        Shell.Run("hessian", file, "--probes", "1").AssertRefused(2, "--probes 1", "from 2");
        Shell.Run("hessian", file, "--range", "0").AssertRefused(2, "--range 0", "above 0");
        Shell.Run("hessian", file, "--out", Path.Combine(file, "below")).AssertRefused(2, "--out", "can be written to");
    }

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);

    private string[] Train()
    {
        string folder = _folder.File("solutions");
        Shell cli = Shell.Run(
            "train", "--model", "tiny", "--steps", "5", "--text", Text, "--compare", "adam,sgd", "--save", "--out", folder);
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("adam.safetensors, sgd.safetensors", cli.Output, StringComparison.Ordinal);
        return [Path.Combine(folder, "adam.safetensors"), Path.Combine(folder, "sgd.safetensors")];
    }

    private string[][] ReadCsv(string name) =>
        [.. File.ReadAllLines(Path.Combine(Out, name)).Select(static line => line.Split(','))];
}
