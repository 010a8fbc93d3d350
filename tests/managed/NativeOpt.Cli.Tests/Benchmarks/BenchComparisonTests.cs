using System.Text.Json;
using NativeOpt.Cli.Benchmarks;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Benchmarks;

/// <summary>What is said of two results files.</summary>
public sealed class BenchComparisonTests : IDisposable
{
    private static readonly BenchResult _row = new(
        "adam", "cpu", "x86-64-v3", 2, "10x100", 1000, 10, "float32", "float32", "none", Seconds: 0.1, Spread: 0.01, Rounds: 15,
        28, 0.28, 0.28, 1, 0.1, 0.01, "woven", new Dictionary<string, double> { ["loop"] = 0.5 },
        new Dictionary<string, double> { ["loop"] = 0.05 });

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0.1, 0.01, "Same")]
    [InlineData(0.1099, 0.001, "Same")] // within the old spread
    [InlineData(0.111, 0.001, "Slower")]
    [InlineData(0.111, 0.02, "Same")] // within the new one
    [InlineData(0.13, 0.02, "Slower")]
    [InlineData(0.0901, 0.001, "Same")]
    [InlineData(0.089, 0.001, "Faster")]
    public void Verdict(double seconds, double spread, string verdict) => Assert.Equal(
        verdict, new BenchChange(_row, _row with { Seconds = seconds, Spread = spread }).Verdict.ToString());

    [Fact]
    public void Two_rounds_have_no_spread()
    {
        BenchResult slow = _row with { Seconds = 1 };
        Assert.Equal(BenchVerdict.Unsure, new BenchChange(_row with { Rounds = 2 }, slow).Verdict);
        Assert.Equal(BenchVerdict.Unsure, new BenchChange(_row, slow with { Rounds = 1 }).Verdict);
        Assert.Equal(BenchVerdict.Slower, new BenchChange(_row with { Rounds = 3 }, slow).Verdict);
    }

    [Fact]
    public void Rows_are_matched_by_what_was_asked_for()
    {
        BenchResult[] before = [_row, _row with { Rule = "sgd" }, _row with { Threads = 1 }];
        BenchResult[] after =
        [
            _row with { Dtype = "bfloat16" }, _row with { Isa = "baseline", Seconds = 0.2 }, _row with { Threads = 1 },
            _row with { Shape = "20x100" },
        ];
        Assert.Equal(
            [
                BenchVerdict.Slower, BenchVerdict.OnlyOld, BenchVerdict.Same, BenchVerdict.OnlyNew, BenchVerdict.OnlyNew,
            ],
            BenchComparison.Compare(before, after).Select(static change => change.Verdict));
    }

    [Fact]
    public void The_command_fails_where_something_became_slower()
    {
        BenchResult sgd = _row with { Rule = "sgd" };
        string old = Write("old.json", _row, sgd);
        string slower = Write("slower.json", _row with { Seconds = 0.2, FloorSeconds = 0.15 }, sgd with { Seconds = 0.05 });
        Shell cli = Shell.Run("bench", "--compare", old, slower);
        Assert.Equal(1, cli.ExitCode);
        string[] expected = ["SLOWER", "faster", "2.00", "1.50", "0.50", "10x100"];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }

        cli = Shell.Run("bench", "--compare", slower, old, "--json");
        Assert.Equal(1, cli.ExitCode);
        JsonElement[] changes = [.. cli.Json().EnumerateArray()];
        Assert.Equal(["faster", "slower"], changes.Select(static one => one.GetProperty("verdict").GetString()));
        Assert.Equal(0.2, changes[0].GetProperty("old_seconds").GetDouble());
        Assert.Equal(0.1, changes[0].GetProperty("new_seconds").GetDouble());

        // What is missing, or new, is no failure.
        cli = Shell.Run("bench", "--compare", old, Write("less.json", sgd, _row with { Rule = "adamw" }));
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("only in the old file", cli.Output, StringComparison.Ordinal);
        Assert.Contains("only in the new file", cli.Output, StringComparison.Ordinal);
        Assert.Contains("within the spread", cli.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void What_was_written_is_read_again()
    {
        BenchResult read = Assert.Single(BenchComparison.Read(Write("one.json", _row)));
        Assert.Equal(Terminal.ToJson(_row), Terminal.ToJson(read));
    }

    [Fact]
    public void Bad_files_are_named_with_the_reason()
    {
        string good = Write("good.json", _row);
        Refuse(["--compare", good], "--compare");
        Refuse(["--compare", good, _folder.File("none.json")], "--compare", "none.json");
        Refuse(["--compare", good, _folder.Write("text.json", "bench")], "text.json", "no results file");
        Refuse(["--compare", good, _folder.Write("null.json", "[null]")], "null.json", "no results file");
        Refuse(["--compare", good, _folder.Write("empty.json", "[]")], "no row in common");
        Refuse(["--compare", good, Write("twice.json", _row, _row)], "twice.json", "adam on 10x100 is there twice");
        string less = File.ReadAllText(good).Replace("\"spread\": 0.01,", "", StringComparison.Ordinal);
        Refuse(["--compare", good, _folder.Write("less.json", less)], "less.json", "no results file", "spread");
        Refuse(["--compare", good, good, "--rules", "adam"], "--rules", "leave out --compare");
        Refuse(["--compare", good, good, "--threads", "1"], "--threads", "leave out --compare");

        static void Refuse(string[] args, params string[] words) => Shell.Run(["bench", .. args]).AssertRefused(2, words);
    }

    private string Write(string name, params BenchResult[] rows) => _folder.Write(name, Terminal.ToJson(rows));
}
