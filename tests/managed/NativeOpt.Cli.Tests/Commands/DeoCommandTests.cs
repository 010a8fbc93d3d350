using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Deo;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

/// <summary><c>nativeopt deo</c>, with runs of a few gradients.</summary>
public sealed class DeoCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _quick;

    public DeoCommandTests()
    {
        string text = _folder.File("text.txt");
        File.WriteAllText(text, string.Concat(Enumerable.Range(0, 400).Select(static i => $"{i} and {i * i}\n")));
        _quick =
        [
            "deo", "--text", text, "--optimizer", "sgd", "--learning-rates", "0.1,1000", "--seeds", "2", "--gradients", "20", "--out", Out,
        ];
    }

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_says_what_is_done_and_how_long_it_takes()
    {
        Shell cli = Shell.Run("deo", "--help");
        Assert.Equal(0, cli.ExitCode);
        foreach (string text in new[] { "Examples:", "2507.19968", "an hour with deo", "--activate-on-spike", "interval|alpha|displacement" })
        {
            Assert.Contains(text, cli.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Json_tables_and_pictures_say_the_same()
    {
        JsonElement json = Shell.Run([.. _quick, "--json"]).Json();
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        string[][] csv = [.. File.ReadAllLines(Path.Combine(Out, DeoFiles.Table)).Select(static line => line.Split(','))];
        Assert.Equal(1 + (2 * 3), csv.Length); // two rates with three variants
        Assert.Equal(2 * 6, json.GetProperty("runs_done").GetInt32());
        foreach ((JsonElement result, string[] row) in results.Zip(csv.Skip(1)))
        {
            Assert.Equal(result.GetProperty("dimer").GetString(), row[1]);
            Assert.Equal(result.GetProperty("learning_rate").GetDouble(), Number(row[2]));
            JsonElement loss = result.GetProperty("validation_loss").GetProperty("mean");
            Assert.Equal(loss.ValueKind == JsonValueKind.Null ? "" : loss.GetDouble().ToString(CultureInfo.InvariantCulture), row[11]);
        }

        // At a rate of 1000 all runs without a dimer diverge, which are no spikes.
        Assert.Equal(0, results[0].GetProperty("spike_rate").GetProperty("mean").GetDouble());
        Assert.Equal(2, results[3].GetProperty("diverged").GetInt32());
        Assert.Equal(JsonValueKind.Null, results[3].GetProperty("spike_rate").GetProperty("mean").ValueKind);

        // Gradients are what is equal: fewer steps with a dimer.
        string[][] runs = [.. File.ReadAllLines(Path.Combine(Out, DeoFiles.Runs)).Skip(1).Select(static line => line.Split(','))];
        Assert.Equal(2 * 6, runs.Length);
        foreach (string[] run in runs.Where(static run => run[4] == "completed"))
        {
            int steps = int.Parse(run[5], CultureInfo.InvariantCulture);
            int gradients = int.Parse(run[6], CultureInfo.InvariantCulture);
            Assert.InRange(gradients, 20, 22);
            Assert.Equal(run[1] == "none", steps == gradients);
            Assert.Equal(run[1] == "none", run[7] == "0");
        }

        Assert.Equal(runs.Length / 2, File.ReadAllLines(Path.Combine(Out, DeoFiles.Times)).Length - 1);
        Assert.Contains("| sgd | 0.1 | none | 0.0 ± 0.0 |", File.ReadAllText(Path.Combine(Out, DeoFiles.Text)), StringComparison.Ordinal);
        foreach (string picture in new[] { DeoFiles.Spikes, DeoFiles.Losses, "curves-sgd.svg" })
        {
            Assert.Contains("svg", XDocument.Load(Path.Combine(Out, picture)).Root!.Name.LocalName, StringComparison.Ordinal);
        }

        static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
    }

    [Fact]
    public void The_number_of_threads_changes_no_bit_and_resume_does_nothing_again()
    {
        Shell first = Shell.Run([.. _quick, "--threads", "1"]);
        string runs = File.ReadAllText(Path.Combine(Out, DeoFiles.Runs));
        byte[] kept = File.ReadAllBytes(Path.Combine(Out, FinishedRuns<DeoRun>.FileName));

        // Another plan is refused, and the runs stay.
        Shell.Run([.. _quick, "--resume", "--dimer", "published"]).AssertRefused(2, "--resume", "another plan", "dimers");

        // Runs that are taken again keep even their times.
        File.Delete(Path.Combine(Out, DeoFiles.Runs));
        Shell second = Shell.Run([.. _quick, "--threads", "2", "--resume"]);
        Assert.Equal(kept, File.ReadAllBytes(Path.Combine(Out, FinishedRuns<DeoRun>.FileName)));
        Assert.Equal(runs, File.ReadAllText(Path.Combine(Out, DeoFiles.Runs)));
        Assert.Equal(first.Output, second.Output);

        Shell third = Shell.Run([.. _quick, "--threads", "2"]);
        Assert.Equal(0, third.ExitCode);
        Assert.Equal(runs, File.ReadAllText(Path.Combine(Out, DeoFiles.Runs)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cancellation_says_how_to_go_on(bool json)
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Shell cli = Shell.RunUntil(stop.Token, json ? [.. _quick, "--json"] : _quick);
        Assert.Equal(130, cli.ExitCode);
        if (json)
        {
            Assert.Equal(0, cli.Json().GetProperty("runs_done").GetInt32());
        }
        else
        {
            Assert.Contains("after 0 of 12 runs; --resume goes on", cli.Output, StringComparison.Ordinal);
        }

        Assert.Empty(Directory.GetFiles(Out));
    }

    [Fact]
    public void Sophia_is_given_the_hessian_and_pays_for_it()
    {
        Shell cli = One("sophia", "0.001", "--gradients", "20", "--dimer", "recommended");
        Assert.Equal(2, cli.Json().GetProperty("runs_done").GetInt32());
        string[] alone = File.ReadAllLines(Path.Combine(Out, DeoFiles.Runs))[1].Split(',');
        Assert.Equal(("none", "18", "20"), (alone[1], alone[5], alone[6])); // every tenth step takes one gradient more
    }

    [Fact]
    public void A_sweep_varies_one_setting()
    {
        string[] names =
        [
            .. One("sgd", "0.1", "--gradients", "10", "--dimer", "published", "--sweep", "interval").Json().GetProperty("results")
                .EnumerateArray().Select(static result => result.GetProperty("dimer").GetString()!),
        ];
        Assert.Equal(["none", "published f=5", "published f=10", "published f=20"], names);
    }

    /// <summary>Waiting for spikes, where there are none, is as good as no dimer; else it is not.</summary>
    [Fact]
    public void Dimers_wait_for_spikes()
    {
        Assert.Equal(Losses([]), (true, false));
        Assert.Equal(Losses(["--activate-on-spike", "--alpha-schedule", "1"]), (true, true));

        (bool, bool) Losses(string[] options)
        {
            double[] losses =
            [
                .. One("sgd", "0.1", ["--gradients", "20", "--dimer", "recommended", .. options]).Json().GetProperty("results")
                    .EnumerateArray().Select(static result => result.GetProperty("validation_loss").GetProperty("mean").GetDouble()),
            ];
            return (losses.Length == 2, losses[0] == losses[^1]);
        }
    }

    private Shell One(string rule, string rate, params string[] options) => Shell.Run(
    [
        "deo", "--text", _folder.File("text.txt"), "--optimizer", rule, "--learning-rates", rate, "--seeds", "1", "--out", Out, "--json",
        .. options,
    ]);

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy()
    {
        Refuse(["--optimizer", "swats"], "there is no swats", "sophia");
        Refuse(["--dimer", "none"], "there is no none", "published");
        Refuse(["--sweep", "seed"], "seed", "interval");
        Refuse(["--learning-rates", "0.1,0"], "--learning-rates 0.1,0", "above 0");
        Refuse(["--learning-rates", "0.1,0.1"], "each once");
        Refuse(["--learning-rates", "1e39"], "--learning-rates 1E+39", "must be");
        Refuse(["--gradients", "0"], "--gradients 0", "from 1");
        Refuse(["--model", "large"], "large", "tiny");
        Refuse(["--text", "/no/such/file"], "--text /no/such/file", "readable text file");
        Refuse(["--seedz", "9"], "did you mean --seeds?", "nativeopt deo --help");

        static void Refuse(string[] args, params string[] words) => Shell.Run(["deo", .. args]).AssertRefused(2, words);
    }
}
