using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Finetuning;
using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

/// <summary>What <c>nativeopt finetune</c> prints, leaves and refuses.</summary>
[Collection("settings of the process")] // they train, which sets the number of threads
public sealed class FinetuneCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_has_examples_and_says_how_long_it_takes()
    {
        Shell cli = Shell.Run("finetune", "--help");
        Assert.Equal(0, cli.ExitCode);
        foreach (string text in new[] { "Examples:", "minutes on two cores", "--from", "--map-unknown", "--resume", "2603.07122" })
        {
            Assert.Contains(text, cli.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Json_csv_table_and_picture_say_the_same()
    {
        JsonElement json = Finetune("--seeds", "2", "--json").Json();
        string[][] rows = [.. ReadCsv(FinetuneFiles.Losses).Skip(1)];
        string[][] rates = [.. ReadCsv(FinetuneFiles.Rates).Skip(1)];
        string table = File.ReadAllText(Path.Combine(Out, FinetuneFiles.Table));
        Assert.Equal(2 * 2 * 3, rows.Length);
        Assert.Equal(2 * FinetunePlan.RateFactors.Count, rates.Length);
        foreach (JsonElement result in json.GetProperty("results").EnumerateArray())
        {
            string name = result.GetProperty("optimizer").GetString()!;
            double rate = result.GetProperty("learning_rate").GetDouble();
            string[][] own = [.. rates.Where(row => row[0] == name)];
            Assert.Equal(Number(rate), own.MinBy(static row => double.Parse(row[2], CultureInfo.InvariantCulture))![1]);
            Assert.Equal(Number(rate), Assert.Single(own, static row => row[3] == "yes")[1]);

            JsonElement last = result.GetProperty("epochs")[2];
            Spread perplexity = Of(name, 7), gap = Of(name, 8);
            Assert.Equal(perplexity.Mean, last.GetProperty("validation_perplexity").GetProperty("mean").GetDouble());
            Assert.Equal(gap.StandardDeviation, last.GetProperty("generalization_gap").GetProperty("standard_deviation").GetDouble());
            Assert.Contains(FinetuneFiles.Text(perplexity), table, StringComparison.Ordinal);
            Assert.All(
                rows.Where(row => row[0] == name),
                static row => Assert.Equal(Value(row[7]), Math.Exp(Value(row[6]))));
        }

        Assert.Equal(3, json.GetProperty("comparisons").GetArrayLength());
        Assert.Contains("dualadam − adamw, validation perplexity:", table, StringComparison.Ordinal);
        XElement[] texts = [.. XDocument.Load(Path.Combine(Out, FinetuneFiles.Picture)).Root!.Descendants()
            .Where(static own => own.Name.LocalName == "text")];
        Assert.Equal(3, texts.Count(static own => own.Value == "adamw (mean ± std, 2 seeds)"));
        foreach (string title in new[] { "training loss", "Validation perplexity", "Generalisation gap" })
        {
            Assert.Contains(texts, own => own.Value.Contains(title, StringComparison.Ordinal));
        }

        Spread Of(string name, int column) =>
            Spread.Of(rows.Where(row => row[0] == name && row[3] == "2").Select(row => Value(row[column])));
    }

    [Fact]
    public void People_get_a_table_and_a_finished_command_is_not_done_again()
    {
        Shell first = Finetune("--threads", "1");
        Assert.Equal(0, first.ExitCode);
        foreach (string text in new[] { "adamw at 0.002, seed 0: training loss", "│ dualadam", "after 2 epochs", FinetuneFiles.Table })
        {
            Assert.Contains(text, first.Output, StringComparison.Ordinal);
        }

        byte[] table = File.ReadAllBytes(Path.Combine(Out, FinetuneFiles.Losses));
        Shell again = Finetune("--resume", "--threads", "2");
        Assert.Equal(0, again.ExitCode);
        Assert.DoesNotContain(", seed 0:", again.Output, StringComparison.Ordinal);
        Assert.Equal(table, File.ReadAllBytes(Path.Combine(Out, FinetuneFiles.Losses)));
        Finetune("--resume", "--epochs", "3").AssertRefused(2, "--resume", "epochs, 2 there and 3 here");
    }

    [Fact]
    public void Without_a_model_one_is_trained_first_and_kept()
    {
        string[] args =
        [
            "finetune", "--pretrain-steps", "2", "--epochs", "1", "--seeds", "1", "--learning-rate", "0.001", "--compare", "adamw",
            "--out", Out,
        ];
        Shell stopped = Shell.RunUntil(new CancellationToken(canceled: true), args);
        Assert.Equal(130, stopped.ExitCode);
        Assert.Contains("--resume", stopped.Output, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(Out, "pretraining", "adamw.checkpoint")));

        Shell cli = Shell.Run([.. args, "--resume"]);
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("docs/dimer.md and docs/precision.md: ", cli.Output, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(Out, "pretraining", "adamw.safetensors")));
        Assert.False(File.Exists(Path.Combine(Out, "pretraining", "adamw.checkpoint")));

        Shell again = Shell.Run([.. args, "--resume"]);
        Assert.Contains("adamw: finished before", again.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancellation_leaves_no_table_and_says_how_to_go_on()
    {
        Shell cli = Shell.RunUntil(new CancellationToken(canceled: true), Arguments());
        Assert.Equal(130, cli.ExitCode);
        Assert.Contains("no seed finished by all optimizers; --resume", cli.Output, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Out));
    }

    [Fact]
    public void Runs_that_diverge_are_told_and_the_others_have_their_numbers()
    {
        Shell cli = Finetune("--compare", "adamw,sgd", "--learning-rate", "1e20", "--json");
        Assert.Equal(1, cli.ExitCode);
        Assert.Contains(
            cli.Json().GetProperty("results").EnumerateArray(),
            static result => result.GetProperty("epochs").ValueKind == JsonValueKind.Null);
        Assert.Contains("diverged", File.ReadAllText(Path.Combine(Out, FinetuneFiles.Table)), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(Out, FinetuneFiles.Picture)));
    }

    [Fact]
    public void Characters_that_the_model_does_not_know_are_refused_or_read_as_one()
    {
        string other = _folder.Write("other.txt", TextOf(static i => $"{i} und {i * i} €!\r\n"));
        Shell refused = Finetune("--text", other);
        refused.AssertRefused(2, "--text", "300 of its", "! €", "\\u000D", "--map-unknown", "characters");
        Assert.False(Directory.Exists(Out));

        Shell mapped = Finetune("--text", other, "--map-unknown", "--learning-rate", "0.001", "--json");
        Assert.Equal(0, mapped.ExitCode);
        int unknown = File.ReadAllText(other).Count(static own => "€!\r".Contains(own, StringComparison.Ordinal));
        Assert.Equal(unknown, mapped.Json().GetProperty("unknown_characters").GetInt32());
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy_before_anything_is_done()
    {
        string model = Model();
        Refuse(["--from", model], "--from", "--text");
        Refuse(["--from", model, "--text", _folder.File("none")], "--text", "Name a readable text file");
        Refuse(["--from", model, "--text", _folder.Write("short", "1 and 2")], "--text", "7 characters", "long enough");
        Refuse(["--from", _folder.File("none"), "--text", Text()], "--from", "train --save");
        Refuse(["--from", Text(), "--text", Text()], "--from", "no safetensors file");
        Refuse(["--from", model, "--text", Text(), "--pretrain-steps", "5"], "--pretrain-steps", "--from");
        Refuse(["--compare", "adamw,quux"], "--compare adamw,quux", "there is no quux");
        Refuse(["--compare", "adamw", "--switching-rate", "0.1"], "--switching-rate", "dualadam");
        Refuse(["--epochs", "0"], "--epochs 0", "from 1");
        Refuse(["--seed", "0"], "--seed 0", "from 1");
        Refuse(["--learning-rate", "0"], "--learning-rate 0", "above 0");
        Assert.False(Path.Exists(Out));

        void Refuse(string[] args, params string[] words) =>
            Shell.Run(["finetune", "--out", Out, .. args]).AssertRefused(2, words);
    }

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);

    private static double Value(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    private static string TextOf(Func<int, string> line) => string.Concat(Enumerable.Range(0, 100).Select(line));

    private string Text() => _folder.Write("text.txt", TextOf(static i => $"{i} and {i * i}\n"));

    private string Model()
    {
        string folder = _folder.File("model"), file = Path.Combine(folder, "adamw.safetensors");
        if (!File.Exists(file))
        {
            string text = _folder.Write("before.txt", TextOf(static i => $"{i} and not {i + i}, but {i}\n"));
            Assert.Equal(0, Shell.Run("train", "--model", "tiny", "--steps", "5", "--text", text, "--save", "--out", folder).ExitCode);
        }

        return file;
    }

    private string[] Arguments(params string[] args) =>
        ["finetune", "--from", Model(), .. args.Contains("--text") ? [] : (string[])["--text", Text()], "--out", Out, .. Shortened(args)];

    private static string[] Shortened(string[] args) =>
    [
        .. args.Contains("--epochs") ? [] : (string[])["--epochs", "2"],
        .. args.Contains("--seeds") ? [] : (string[])["--seeds", "1"],
        .. args,
    ];

    private Shell Finetune(params string[] args) => Shell.Run(Arguments(args));

    private string[][] ReadCsv(string name) =>
        [.. File.ReadAllLines(Path.Combine(Out, name)).Select(static line => line.Split(','))];
}
