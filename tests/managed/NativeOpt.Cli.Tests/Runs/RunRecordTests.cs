using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Runs;

/// <summary>Every command that writes a folder leaves a record of the run there, and says the same with <c>--json</c>.</summary>
[Collection("settings of the process")] // bench sets the number of threads
public sealed class RunRecordTests : IDisposable
{
    private static readonly string[] _saddle =
        ["saddle", "--problem", "monkey", "--optimizer", "sgd", "--starts", "1", "--budget", "20", "--seed", "7"];

    private readonly TemporaryFolder _folder = new();

    /// <summary>A command, its seeds, and a part of its configuration.</summary>
    public static TheoryData<string[], ulong[], string, string> Commands => new()
    {
        { ["train", "--model", "tiny", "--steps", "4", "--seed", "3"], [3], "schedule", """{"steps":4""" },
        { ["bench", "--rules", "sgd", "--shapes", "3x100", "--rounds", "1", "--no-peers"], [], "settings", """{"rounds":1,"limit":10}""" },
        { _saddle, [7], "problems", """["monkey"]""" },
        {
            ["landscape", "--steps", "2", "--optimizer", "adam", "--function", "eggholder", "--start", "1,-2"], [1], "start", "[1,-2]"
        },
        { ["landscape", "escape", "--optimizer", "sgd", "--starts", "20", "--curvatures", "2"], [1], "rules", """["sgd"]""" },
    };

    private string Out => _folder.File("an out");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Commands))]
    public void Every_folder_has_one(string[] command, ulong[] seeds, string part, string value)
    {
        string[] args = [.. command, "--out", Out, "--json"];
        DateTime before = DateTime.UtcNow;
        Shell cli = Shell.Run(args);
        Assert.Equal(0, cli.ExitCode);
        RunDocument run = RunDocument.Read(Out);
        Assert.Equal(args, run.Arguments);
        Assert.Equal($"nativeopt {string.Join(' ', command)} --out '{Out}' --json", run.CommandLine);
        Assert.Equal(command.Contains("escape") ? "nativeopt landscape escape" : $"nativeopt {command[0]}", run.Command);
        Assert.Equal(seeds, run.Seeds);
        Assert.StartsWith(value, run.Configuration[part]!.ToJsonString(), StringComparison.Ordinal);
        Assert.Equal(("completed", null), (run.End, run.Message));
        Assert.InRange(run.Started, before, DateTime.UtcNow);
        Assert.InRange(run.Seconds, 0, (DateTime.UtcNow - before).TotalSeconds + 0.001);
        RunDocument.VersionsOfRun versions = run.Versions;
        Assert.Equal(CommandLine.Version, versions.Nativeopt + (versions.Commit is { } commit ? $"+{commit}" : ""));
        Assert.Equal((NativeRuntime.Version, NativeRuntime.BuildInfo), (versions.Library, versions.LibraryBuild));
        Assert.Equal((NativeRuntime.CpuInstructionSet, null), (run.Machine.InstructionSet, run.Machine.Gpu));
        Assert.Equal(
            run.Files.Append(RunDocument.FileName).Order(StringComparer.Ordinal),
            Directory.GetFiles(Out).Select(Path.GetFileName).Except([FinishedRuns<object>.FileName]).Order(StringComparer.Ordinal));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(cli.Output), run.Summary));
    }

    [Fact]
    public void Other_files_of_equal_runs_are_equal_and_nothing_is_written_without_a_folder()
    {
        string first = _folder.File("1");
        string second = _folder.File("2");
        Assert.Equal(0, Shell.Run([.. _saddle, "--out", first]).ExitCode);
        Assert.Equal(0, Shell.Run([.. _saddle, "--out", second]).ExitCode);
        string[] names = [.. Directory.GetFiles(first).Select(static path => Path.GetFileName(path)!)];
        Assert.True(names.Length >= 4);
        Assert.All(
            names.Except([RunDocument.FileName]),
            name => Assert.Equal(File.ReadAllBytes(Path.Combine(first, name)), File.ReadAllBytes(Path.Combine(second, name))));
        Assert.Equal(0, Shell.Run(_saddle).ExitCode);
        Assert.Equal(2, Directory.GetFileSystemEntries(_folder.Path).Length);
    }

    [Fact]
    public void A_run_that_ends_early_says_so()
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.Equal(130, Shell.RunUntil(stop.Token, "train", "--model", "tiny", "--steps", "4", "--out", Out).ExitCode);
        RunDocument cancelled = RunDocument.Read(Out);
        Assert.Equal("cancelled", cancelled.End);
        Assert.Contains("on request", cancelled.Message, StringComparison.Ordinal);

        string[] diverging = ["train", "--model", "tiny", "--steps", "30", "--optimizer", "sgd", "--learning-rate", "1e6", "--out", Out];
        Assert.Equal(1, Shell.Run(diverging).ExitCode);
        RunDocument failed = RunDocument.Read(Out);
        Assert.Equal("failed", failed.End);
        Assert.Contains("not a finite number", failed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_none_is_refused_with_the_remedy()
    {
        Refuse("Could not find");
        Directory.CreateDirectory(Out);
        Refuse("Could not find");
        Write("{");
        Refuse("LineNumber");
        Write("{}");
        Refuse("format_version");
        Assert.Equal(0, Shell.Run([.. _saddle, "--out", Out]).ExitCode);
        string good = File.ReadAllText(Path.Combine(Out, RunDocument.FileName));
        Write(good.Replace("\"format_version\": 1", "\"format_version\": 2", StringComparison.Ordinal));
        Refuse("Its format is 2");
        Write(good);
        Assert.Equal(7ul, Assert.Single(RunDocument.Read(Out).Seeds));

        void Write(string text) => File.WriteAllText(Path.Combine(Out, RunDocument.FileName), text);

        void Refuse(string word)
        {
            string message = Assert.Throws<UsageException>(() => RunDocument.Read(Out)).Message;
            Assert.Contains(Path.Combine(Out, RunDocument.FileName), message, StringComparison.Ordinal);
            Assert.Contains("Name a folder", message, StringComparison.Ordinal);
            Assert.Contains(word, message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_plan_becomes_its_settable_properties()
    {
        JsonObject made = Configuration.Of(
            new Plan(
                [1, 2], (0.5, null), new Inner(DimerForce.PerDisplacement, DType.BFloat16, double.NaN), Device.Cuda(1),
                [Rule.Get("adam")]));
        const string Expected =
            """{"seeds":[1,2],"pair":[0.5,null],"inner":{"force":"per_displacement","dtype":"bfloat16","rate":null}"""
            + ""","where":"cuda:1","rules":["adam"]}""";
        Assert.Equal(Expected, made.ToJsonString());
        Assert.Equal([1, 2], Configuration.Seeds(made));
        Assert.Empty(Configuration.Seeds(JsonSerializer.Deserialize<JsonObject>("""{"rounding":{"seed":1},"seed":-1}""")!));
    }

    private sealed record Plan(ulong[] Seeds, (double, string?) Pair, Inner Inner, Device Where, Rule[] Rules)
    {
        public int Derived => Seeds.Length;
    }

    private sealed record Inner(DimerForce Force, DType DType, double Rate);
}
