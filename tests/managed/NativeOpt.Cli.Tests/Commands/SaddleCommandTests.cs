using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

public sealed class SaddleCommandTests : IDisposable
{
    private static readonly string[] _few =
    [
        "--problem", "quadratic,monkey", "--optimizer", "sgd,adam", "--dimer", "none,escape,reverse-exact", "--starts", "3",
        "--budget", "400",
    ];

    private readonly TemporaryFolder _folder = new();

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_has_examples_and_says_how_rates_are_chosen()
    {
        Shell cli = Shell.Run("saddle", "--help");
        Assert.Equal(0, cli.ExitCode);
        string[] expected =
        [
            "Examples:", "  nativeopt saddle", "at its own best", "factorization", "invadam", "escape-exact", "--json",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Json_csv_and_pictures_say_the_same()
    {
        Shell cli = Shell.Run(["saddle", "--json", "--out", Out, .. _few]);
        Assert.Equal(0, cli.ExitCode);
        JsonElement json = cli.Json();
        Assert.Equal(400, json.GetProperty("budget").GetInt32());
        Assert.Equal(["quadratic", "monkey"], json.GetProperty("problems").EnumerateArray().Select(Name));
        Assert.Equal(1024, json.GetProperty("problems")[0].GetProperty("parameters").GetInt32());
        Assert.Equal(-0.125, json.GetProperty("problems")[0].GetProperty("goal").GetDouble());

        // The monkey saddle has no exact direction.
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        Assert.Equal(6 + 4, results.Length);
        string[][] table = ReadCsv("saddle.csv");
        Assert.Equal(
            ["problem", "optimizer", "dimer", "learning_rate", "outcome", "median", "smallest", "largest", "starts", "left"],
            table[0]);
        string[][] runs = ReadCsv("runs.csv");
        Assert.Equal(
            ["problem", "optimizer", "dimer", "learning_rate", "start", "outcome", "gradient_evaluations", "steps"], runs[0]);
        for (int i = 0; i < results.Length; i++)
        {
            JsonElement result = results[i];
            string[] row = table[i + 1];
            Assert.Equal(row[0], result.GetProperty("problem").GetString());
            Assert.Equal(row[1], result.GetProperty("optimizer").GetString());
            Assert.Equal(row[2], result.GetProperty("dimer").GetString());
            Assert.Equal(row[3], Text(result, "learning_rate"));
            Assert.Equal(row[4], result.GetProperty("outcome").GetString());
            Assert.Equal(row[5], Text(result, "median"));
            Assert.Equal(row[6], Text(result, "smallest"));
            Assert.Equal(row[7], Text(result, "largest"));

            // The runs of the rate that is shown, in the order of the starts.
            string[][] own = [.. runs.Where(run => run.Take(4).SequenceEqual(row.Take(4)))];
            Assert.Equal(["0", "1", "2"], own.Select(static run => run[4]));
            Assert.Equal(
                own.Select(static run => run[6]),
                result.GetProperty("runs").EnumerateArray().Select(static run => Text(run, "gradient_evaluations")));
            string[] left = [.. own.Where(static run => run[5] == "left").Select(static run => run[6])];
            Assert.Equal(row[9], left.Length.ToString(CultureInfo.InvariantCulture));
            if (left.Length == 3)
            {
                Assert.Equal(row[5], left.Select(int.Parse).Order().ElementAt(1).ToString(CultureInfo.InvariantCulture));
            }
        }

        // What theory says: gradient descent leaves, and stays where the gradient along the exact direction is reversed.
        Assert.Equal("left", Result("quadratic", "sgd", "none").GetProperty("outcome").GetString());
        JsonElement reversed = Result("quadratic", "sgd", "reverse-exact");
        Assert.Equal("not_within", reversed.GetProperty("outcome").GetString());
        Assert.Equal(JsonValueKind.Null, reversed.GetProperty("median").ValueKind);

        string[] texts =
        [
            .. XDocument.Load(Path.Combine(Out, "saddle.svg")).Descendants()
                .Where(static element => element.Name.LocalName == "text").Select(static element => element.Value),
        ];
        foreach (string expected in new[] { "quadratic", "monkey", "sgd", "adam", "none", "escape", "n/a" })
        {
            Assert.Contains(expected, texts);
        }

        Assert.Contains(
            "quadratic, adam", File.ReadAllText(Path.Combine(Out, "losses-quadratic.svg")), StringComparison.Ordinal);
        XDocument.Load(Path.Combine(Out, "losses-monkey.svg"));
        Assert.Equal(Out, json.GetProperty("folder").GetString());

        JsonElement Result(params string[] row) =>
            results[Array.FindIndex(table, line => line.Take(3).SequenceEqual(row)) - 1];
    }

    [Fact]
    public void People_get_a_table_without_escape_sequences_and_no_files_unless_asked_for()
    {
        Shell cli = Shell.Run(["saddle", .. _few]);
        Assert.Equal(0, cli.ExitCode);
        Assert.DoesNotContain('\e', cli.Output);
        Assert.DoesNotContain('\r', cli.Output);
        string[] expected =
        [
            "degenerate", "quadratic: done", "monkey: done", "reverse-exact", "n/a", ">400", " @ 0.1", "..", "learning rate of the grid",
            "median of 3 starts",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("written to", cli.Output, StringComparison.Ordinal);
        Assert.Contains(
            "written to", Shell.Run(["saddle", "--out", Out, .. _few]).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Runs_repeat_for_a_seed_and_differ_for_another()
    {
        string[] args = ["--problem", "monkey", "--optimizer", "adam,dualadam", "--starts", "2", "--budget", "300"];
        string first = RunsOf("1");
        Assert.Equal(first, RunsOf("1"));
        Assert.NotEqual(first, RunsOf("2"));

        string RunsOf(string seed)
        {
            Assert.Equal(0, Shell.Run(["saddle", "--out", Out, "--seed", seed, .. args]).ExitCode);
            return File.ReadAllText(Path.Combine(Out, "runs.csv"));
        }
    }

    [Fact]
    public void One_learning_rate_takes_the_place_of_the_grid()
    {
        JsonElement json = Shell.Run(
            "saddle", "--json", "--problem", "quadratic", "--optimizer", "sgd", "--dimer", "none,escape", "--starts", "1",
            "--learning-rate", "0.05").Json();
        JsonElement rates = json.GetProperty("optimizers")[0].GetProperty("learning_rates");
        Assert.Equal(0.05, Assert.Single(rates.EnumerateArray()).GetDouble());
        Assert.All(
            json.GetProperty("results").EnumerateArray(),
            static result => Assert.Equal(0.05, result.GetProperty("learning_rate").GetDouble()));
        Assert.Equal(JsonValueKind.Null, json.GetProperty("folder").ValueKind);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cancellation_leaves_no_files_and_says_so(bool json)
    {
        // From a thread of its own, as the signal comes: those of the pool are busy.
        using var stop = new CancellationTokenSource();
        var canceller = new Thread(() =>
        {
            Thread.Sleep(300);
            stop.Cancel();
        });
        canceller.Start();
        string[] args = ["saddle", "--starts", "100", "--out", Out];
        Shell cli = Shell.RunUntil(stop.Token, json ? [.. args, "--json"] : args);
        canceller.Join();
        Assert.Equal(130, cli.ExitCode);
        Assert.Contains("there is no result", json ? cli.Error : cli.Output, StringComparison.Ordinal);
        Assert.Equal(json, cli.Output.Length == 0);
        Assert.Empty(Directory.GetFiles(Out));
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy_before_anything_is_done()
    {
        Refuse(["--problem", "quadrtic"], "--problem quadrtic", "did you mean quadratic?", "monkey");
        Refuse(["--problem", "monkey,monkey"], "--problem monkey,monkey", "each once");
        Refuse(["--problem", ""], "--problem", "linear-network");
        Refuse(["--optimizer", "adm"], "--optimizer adm", "did you mean adam?", "sgd-momentum");
        Refuse(["--optimizer", "adam,quux"], "there is no quux. ", "each once, separated by commas");
        Refuse(["--dimer", "escpe"], "--dimer escpe", "did you mean escape?", "reverse-exact");
        Refuse(["--dimer", "escape-exact", "--problem", "monkey"], "--dimer", "degenerate", "another problem");
        Refuse(["--budget", "0"], "--budget 0", "from 1");
        Refuse(["--starts", "0"], "--starts 0", "from 1 to 1000");
        Refuse(["--seed", "-1"], "--seed -1", "from 0");
        Refuse(["--learning-rate", "0"], "--learning-rate 0", "above 0");
        Refuse(["--device", "gpu"], "--device gpu", "cpu, cuda or cuda:N");
        Refuse(["--problme", "monkey"], "--problme", "did you mean --problem?", "nativeopt saddle --help");
        if (Device.Count(Backend.Cuda) == 0)
        {
            Refuse(["--device", "cuda"], "--device cuda", "Use --device cpu");
        }

        Assert.False(Path.Exists(Out));
        string file = _folder.Write("a file", "");
        Shell.Run("saddle", "--out", Path.Combine(file, "below")).AssertRefused(2, "--out", file, "can be written to");

        void Refuse(string[] args, params string[] words) =>
            Shell.Run(["saddle", "--out", Out, .. args]).AssertRefused(2, words);
    }

    [SkippableFact]
    public void A_gpu_needs_the_same_gradients_as_the_cpu()
    {
        Skip.If(Device.Count(Backend.Cuda) == 0, "No CUDA device.");
        Assert.Equal(RunsOn("cpu"), RunsOn("cuda"));

        string RunsOn(string device)
        {
            Shell cli = Shell.Run(
                "saddle", "--device", device, "--problem", "factorization", "--optimizer", "adam", "--starts", "1",
                "--budget", "100", "--learning-rate", "0.01", "--out", Out);
            Assert.Equal(0, cli.ExitCode);
            return File.ReadAllText(Path.Combine(Out, "runs.csv"));
        }
    }

    private static string? Name(JsonElement element) => element.GetProperty("name").GetString();

    // What is no number is an empty field.
    private static string Text(JsonElement element, string property) =>
        element.GetProperty(property) is { ValueKind: JsonValueKind.Number } number
            ? number.GetDouble().ToString(CultureInfo.InvariantCulture) : "";

    private string[][] ReadCsv(string name) =>
        [.. File.ReadAllLines(Path.Combine(Out, name)).Select(static line => line.Split(','))];
}
