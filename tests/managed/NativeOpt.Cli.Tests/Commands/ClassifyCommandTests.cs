using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Classification;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Tests.Classification;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

public sealed class ClassifyCommandTests : IDisposable
{
    private static readonly string[] _quick =
        ["--train-images", "60", "--epochs", "2", "--batch", "16", "--hidden", "5", "--learning-rates", "0.003,0.03"];

    private static readonly string[] _few = [.. _quick, "--compare", "adam,swats,dualadam", "--seeds", "2"];

    private readonly TemporaryFolder _folder = new();

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_has_examples_and_says_how_rates_are_chosen_and_how_long_it_takes()
    {
        Shell cli = Shell.Run("classify", "--help");
        Assert.Equal(0, cli.ExitCode);
        string[] expected =
        [
            "Examples:", "on two cores", "held out", "adam,adamw,radam,nadam,adan,swats,miadam,dualadam", "cosine|step|constant",
            "t10k-labels-idx1-ubyte", "switching-rate|switching", "--resume", "dataset-fashion-mnist",
        ];
        string output = string.Join(' ', cli.Output.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        Assert.All(expected, text => Assert.Contains(text, output, StringComparison.Ordinal));
    }

    [Fact]
    public void Files_of_images_are_learned_and_json_csv_and_page_say_the_same()
    {
        IdxImages.Write(_folder, isCompressed: true, train: 120, test: 60, height: 3, width: 3);
        Shell cli = Shell.Run(
            "classify", "--data", _folder.Path, "--compare", "adam,sgd", "--learning-rates", "0.0001,0.03", "--epochs", "12", "--batch",
            "10", "--hidden", "8", "--seeds", "3", "--out", Out, "--json");
        Assert.Equal(0, cli.ExitCode);
        JsonElement json = cli.Json();
        Assert.Equal(
            (120, 60, 3, 20),
            (Int(json, "train_images"), Int(json, "test_images"), Int(json, "classes"), Int(json, "held_out_images")));
        Assert.Equal("adam", json.GetProperty("reference").GetString());
        Assert.Equal((9 * 8) + 8 + (8 * 3) + 3, Int(json, "parameters"));
        string[][] table = ReadCsv(ClassifierFiles.Table), rates = ReadCsv(ClassifierFiles.Rates), epochs = ReadCsv(ClassifierFiles.Epochs);
        Assert.Equal(1 + (2 * 2), rates.Length);
        Assert.Equal(1 + (2 * 3 * 12), epochs.Length);
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        Assert.Equal(["adam", "sgd"], results.Select(static result => result.GetProperty("optimizer").GetString()));
        foreach ((int i, JsonElement result) in results.Index())
        {
            // The first pixel tells the class, which takes the larger rate to learn in so few steps.
            Assert.Equal(0.03, Double(result, "learning_rate"));
            Assert.True(result.GetProperty("is_at_end_of_grid").GetBoolean());
            Assert.Equal(1, Double(result.GetProperty("test_accuracy"), "mean"), 0.1);
            Assert.Equal(table[i + 1][1], Number(Double(result, "learning_rate")));
            foreach ((int column, string name) in new[] { (4, "train_accuracy"), (6, "test_accuracy"), (8, "gap") })
            {
                Assert.Equal(table[i + 1][column], Number(Double(result.GetProperty(name), "mean")));
                Assert.Equal(table[i + 1][column + 1], Number(Double(result.GetProperty(name), "standard_deviation")));
            }

            // The last epoch's accuracies are those of the runs, and their mean is the table's.
            double[] runs = [.. result.GetProperty("runs").EnumerateArray().Select(static run => Double(run, "test_accuracy"))];
            Assert.Equal(runs.Average(), Double(result.GetProperty("test_accuracy"), "mean"), 12);
            Assert.Equal(
                runs.Select(Number), epochs.Where(row => row[0] == table[i + 1][0] && row[3] == "12").Select(static row => row[6]));

            // The chosen rate is the one that was best on what was held out.
            string[][] tried = [.. rates.Where(row => row[0] == table[i + 1][0])];
            Assert.Equal("1", tried.MaxBy(static row => double.Parse(row[2], CultureInfo.InvariantCulture))![3]);
        }

        string page = File.ReadAllText(Path.Combine(Out, ClassifierFiles.Page));
        Assert.Contains("| `sgd` | 0.03* |", page, StringComparison.Ordinal);
        foreach (string picture in new[] { ClassifierFiles.AccuracyPicture, ClassifierFiles.ErrorPicture })
        {
            string[] texts =
            [
                .. XDocument.Load(Path.Combine(Out, picture)).Descendants()
                    .Where(static own => own.Name.LocalName == "text").Select(static own => own.Value),
            ];
            Assert.Contains("adam", texts);
            Assert.Contains("sgd", texts);
        }
    }

    [Fact]
    public void Seeds_count_and_threads_do_not()
    {
        string first = Results("--seed", "2", "--threads", "1");
        Assert.Equal(first, Results("--seed", "2", "--threads", "3"));
        Assert.NotEqual(first, Results("--seed", "3"));

        static string Results(params string[] args) =>
            Shell.Run(["classify", "--json", .. _few, .. args]).Json().GetProperty("results").GetRawText();
    }

    [Fact]
    public async Task Resumed_runs_equal_whole_ones_and_are_not_done_again()
    {
        Assert.Equal(0, Run("--out", Out).ExitCode);
        string runs = Path.Combine(Out, FinishedRuns<ClassifierRun>.FileName);
        (string table, string finished) = (File.ReadAllText(Path.Combine(Out, ClassifierFiles.Table)), File.ReadAllText(runs));

        // Nothing is left to do.
        Assert.Equal(0, Run("--out", Out, "--resume").ExitCode);
        Assert.Equal(finished, File.ReadAllText(runs));

        // Stopped after some runs, and then taken up.
        string other = _folder.File("other");
        using var stop = new CancellationTokenSource();
        using var output = new StopAfter("5/", stop);
        int code = await Program.RunAsync(
            ["classify", .. _few, "--threads", "1", "--out", other], output, TextWriter.Null, stop.Token);
        Assert.Equal(130, code);
        Assert.Contains("stopped, on request, after", output.ToString(), StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(other, ClassifierFiles.Table)));
        Assert.Equal(0, Run("--out", other, "--resume").ExitCode);
        Assert.Equal(table, File.ReadAllText(Path.Combine(other, ClassifierFiles.Table)));

        // More seeds are more runs of the same plan; other labels are another one.
        Assert.Equal(0, Shell.Run(["classify", .. _few[..^1], "3", "--out", other, "--resume"]).ExitCode);
        Run("--out", other, "--resume", "--label-noise", "0.2").AssertRefused(2, "--resume", "0.1 there and 0.2 here");

        static Shell Run(params string[] args) => Shell.Run(["classify", .. _few, .. args]);
    }

    [Theory]
    [InlineData("switching-rate", 8)]
    [InlineData("switching", 3)]
    public void A_sweep_runs_the_variants(string sweep, int variants)
    {
        Shell cli = Shell.Run(["classify", "--sweep", sweep, .. _quick, "--seeds", "2", "--out", Out]);
        Assert.Equal(0, cli.ExitCode);
        Assert.Equal(variants + 1, ReadCsv(ClassifierFiles.Table).Length);
        Assert.Contains(sweep == "switching" ? "less linear %" : "less ξ = 4 / steps %", cli.Output, StringComparison.Ordinal);
        Assert.Contains(sweep == "switching" ? "exponential" : "ξ = 8e-5", cli.Output, StringComparison.Ordinal);
        Assert.Contains("% wrong labels", cli.Output, StringComparison.Ordinal);
        XDocument.Load(Path.Combine(Out, ClassifierFiles.AccuracyPicture));
    }

    [Fact]
    public void A_run_that_diverges_has_no_mean_and_its_rate_is_not_chosen()
    {
        JsonElement diverged = Sgd("1e20");
        Assert.Equal(2, diverged.GetProperty("diverged").GetInt32());
        Assert.Equal(JsonValueKind.Null, diverged.GetProperty("test_accuracy").GetProperty("mean").ValueKind);
        Assert.Empty(diverged.GetProperty("learning_rates").EnumerateArray());
        Assert.Contains("diverged", File.ReadAllText(Path.Combine(Out, ClassifierFiles.Page)), StringComparison.Ordinal);

        JsonElement chosen = Sgd("1e20,0.01");
        Assert.Equal(0.01, Double(chosen, "learning_rate"));
        Assert.Equal(JsonValueKind.Null, chosen.GetProperty("learning_rates")[1].GetProperty("accuracy").ValueKind);
        Assert.Equal(0, chosen.GetProperty("diverged").GetInt32());

        JsonElement Sgd(string rates) => Shell.Run(
            "classify", "--json", "--train-images", "60", "--epochs", "3", "--hidden", "5", "--seeds", "2", "--compare", "sgd",
            "--learning-rates", rates, "--out", Out).Json().GetProperty("results")[0];
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy_before_anything_is_done()
    {
        Refuse(["--data", _folder.Path], "--data", _folder.Path, "test_batch.bin");
        Refuse(["--data", _folder.File("nothing")], "--data", "no images");
        Refuse(["--train-images", "2001"], "--train-images 2001", "there are 2000");
        Refuse(["--train-images", "5"], "--train-images 5", "from 12");
        Refuse(["--label-noise", "1.5"], "--label-noise 1.5", "from 0 to 1");
        Refuse(["--compare", "adm"], "did you mean adam?", "adopt");
        Refuse(["--compare", "adam", "--sweep", "switching"], "--compare", "--sweep", "leave one out");
        Refuse(["--sweep", "rates"], "--sweep rates", "switching-rate or switching");
        Refuse(["--learning-rates", "0.1,0"], "--learning-rates 0.1,0", "above 0", "preset");
        Refuse(["--learning-rates", "0.1,0.1"], "each once");
        Refuse(["--learning-rates", "1e6", "--compare", "miadam"], "--learning-rates 1000000", "miadam");
        Refuse(["--weight-decay", "-1"], "--weight-decay -1", "finite");
        Refuse(["--schedule", "linear"], "--schedule linear", "cosine or step or constant");
        Refuse(["--hidden", "5,0"], "--hidden 5,0", "from 1 to 8192");
        Refuse(["--seeds", "0"], "--seeds 0", "from 1");
        Refuse(["--epochs", "0"], "--epochs 0", "from 1");
        Shell.Run("classify", "--resume").AssertRefused(2, "--resume", "--out");
        using var large = new TemporaryFolder();
        IdxImages.Write(large, isCompressed: false, 12, 5, 400, 400);
        Shell.Run("classify", "--data", large.Path, "--hidden", "1024").AssertRefused(2, "--hidden", "parameters", "narrower");
        using var few = new TemporaryFolder();
        IdxImages.Write(few, isCompressed: false, 11, 5, 4, 4);
        Shell.Run("classify", "--data", few.Path).AssertRefused(2, "--data", "11 training images", "12");
        Assert.False(Path.Exists(Out));

        void Refuse(string[] args, params string[] words) =>
            Shell.Run(["classify", "--out", Out, .. args]).AssertRefused(2, words);
    }

    private static int Int(JsonElement element, string name) => element.GetProperty(name).GetInt32();

    private static double Double(JsonElement element, string name) => element.GetProperty(name).GetDouble();

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);

    private string[][] ReadCsv(string name) =>
        [.. File.ReadAllLines(Path.Combine(Out, name)).Select(static line => line.Split(','))];

    /// <summary>Asks for an orderly end when a text is written.</summary>
    private sealed class StopAfter(string text, CancellationTokenSource stop) : StringWriter
    {
        public override void Write(string? value)
        {
            base.Write(value);
            if (value?.Contains(text, StringComparison.Ordinal) == true)
            {
                stop.Cancel();
            }
        }
    }
}
