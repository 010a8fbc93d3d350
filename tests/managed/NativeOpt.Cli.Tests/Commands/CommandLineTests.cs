using System.CommandLine;
using System.Text.Json;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

[Collection("settings of the process")] // they read and set the number of threads
public sealed class CommandLineTests
{
    [Fact]
    public void Version_is_one_line()
    {
        Shell cli = Shell.Run("--version");
        Assert.Equal(0, cli.ExitCode);
        Assert.StartsWith("nativeopt 0.", cli.Output, StringComparison.Ordinal);
        Assert.Single(cli.Output.TrimEnd().Split('\n'));
    }

    public static TheoryData<string> CommandNames => [.. new CommandLine(TextWriter.Null, TextWriter.Null).CommandNames];

    [Theory]
    [MemberData(nameof(CommandNames))]
    public void Help_of_every_command_has_examples(string command)
    {
        Shell cli = Shell.Run(command, "--help");
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("Examples:", cli.Output, StringComparison.Ordinal);
        Assert.Contains($"  nativeopt {command}", cli.Output, StringComparison.Ordinal);
        Assert.Contains($"  {command} ", Shell.Run("--help").Output, StringComparison.Ordinal);
        Assert.Equal(command is not "report", cli.Output.Contains("--json", StringComparison.Ordinal)); // a page is for people
    }

    [Theory]
    [MemberData(nameof(CommandNames))]
    public void The_readme_has_every_command(string command) =>
        Assert.Matches($@"(?m)^\| `{command}[ `]", File.ReadAllText(Path.Combine(RepositoryRoot.Path, "README.md")));

    [Fact]
    public void No_command_shows_the_help_and_is_no_success()
    {
        Shell cli = Shell.Run();
        Assert.Equal(2, cli.ExitCode);
        Assert.Equal(Shell.Run("--help").Output, cli.Output);
    }

    [Fact]
    public void Mistyped_words_get_a_suggestion()
    {
        Shell.Run("replya", "x").AssertRefused(2, "replya", "did you mean replay?");
        Shell.Run("train", "--stepz", "3").AssertRefused(2, "--stepz", "did you mean --steps?", "nativeopt train --help");
        Shell.Run("replay", "--devise", "cpu", "x").AssertRefused(2, "--devise", "did you mean --device?");
        Shell.Run("info", "everything").AssertRefused(2, "everything");
        Assert.DoesNotContain("did you mean", Shell.Run("quux").Error, StringComparison.Ordinal);
    }

    /// <summary>No terminal is so narrow that the help does not end.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(7)]
    public async Task Help_ends_in_narrow_terminals(int width)
    {
        Assert.Equal(await Help(40), await Help(width));

        static async Task<string> Help(int columns)
        {
            using StringWriter output = new(), error = new();
            Assert.Equal(0, await new CommandLine(output, error, columns).RunAsync(["train", "--help"], CancellationToken.None));
            Assert.Contains("--text", output.ToString(), StringComparison.Ordinal);
            return output.ToString();
        }
    }

    [Theory]
    [InlineData("replay", "@missing.json")]
    [InlineData("train", "--text", "@missing.json")]
    [InlineData("bench", "--compare", "@missing.json", "@missing.json")]
    public void Names_of_files_may_begin_with_an_at_sign(params string[] args) =>
        Shell.Run(args).AssertRefused(2, "@missing.json");

    /// <summary>Every option of a number says how large it may be.</summary>
    [Fact]
    public void Bounds_of_numbers_are_named()
    {
        Command[] commands =
        [
            new BenchCommand(TextWriter.Null, TextWriter.Null), new InfoCommand(TextWriter.Null, TextWriter.Null),
            new LandscapeCommand(TextWriter.Null, TextWriter.Null), new SaddleCommand(TextWriter.Null, TextWriter.Null),
            new SelftestCommand(TextWriter.Null, TextWriter.Null), new TrainCommand(TextWriter.Null, TextWriter.Null),
        ];
        int count = 0;
        foreach (Command command in commands)
        {
            foreach (Option option in command.Options)
            {
                string? bound = option.HelpName switch
                {
                    "N" => " to ",
                    "X" => option.Name switch
                    {
                        "--learning-rate" => Rule.Get("adam").GetHyperparameter("lr").Range,
                        "--switching-rate" => Rule.Get("dualadam").GetHyperparameter("switching_rate").Range,
                        _ => "up to 3.4028235E+38",
                    },
                    "SHAPE" or "SHAPE,…" => "at most 1,000,000 tensors",
                    _ => null,
                };
                if (bound is not null)
                {
                    Shell.Run(command.Name, option.Name, option.HelpName![0] == 'S' ? "1000001x1" : "1e39")
                        .AssertRefused(2, option.Name, bound);
                    count++;
                }
            }
        }

        Assert.InRange(count, 15, 100);
    }

    /// <summary>What a file is called and says does not control the terminal that shows it.</summary>
    [SkippableFact]
    public void Control_characters_are_not_echoed()
    {
        Skip.If(OperatingSystem.IsWindows(), "Its files cannot have such names.");
        using TemporaryFolder folder = new();
        string file = folder.Write(
            "a\e[31m\u009b.json",
            """{"format": "nativeopt-trace/1", "source": "", "optimizer": {"rule": "\u001b[2J\u202e"}, "\u001b]0;": 1}""");
        string other = folder.Write("b.json", """{"format": "\u001b[2J\u0007"}""");
        string text = folder.Write("c\e[2J.txt", string.Concat(Enumerable.Repeat("abc ", 100)));
        string results = folder.Write("d.json", """[{"rule": "\u001b[2J"}]""");
        Shell[] runs =
        [
            Shell.Run("replay", file, other),
            Shell.Run("replay", file, other, "--json"),
            Shell.Run("replay", folder.File("no\e[2J")),
            Shell.Run("replay", "--\e[2J"),
            Shell.Run("train", "--\e[2J"),
            Shell.Run("train", "--optimizer", "\e[2J"),
            Shell.Run("train", "--text", folder.File("no\e[2J")),
            Shell.Run("train", "--model", "tiny", "--steps", "1", "--text", text, "--out", folder.File("out\e[2J")),
            Shell.Run("bench", "--compare", results, results),
        ];
        Assert.All(runs, static run => Assert.DoesNotContain(
            run.Output + run.Error,
            static character => (char.IsControl(character) && character is not '\n' and not '\t') || character == '\u202e'));
        Assert.Contains("a\\u001B[31m\\u009B.json", runs[0].Output, StringComparison.Ordinal);
        Assert.Equal(file, runs[1].Json()[0].GetProperty("file").GetString());
        Assert.Contains("no\\u001B[2J: no such file", runs[2].Error, StringComparison.Ordinal);
        Assert.Equal(0, runs[7].ExitCode);
    }

    /// <summary>Otherwise a name could be followed by what looks like a line of the program's.</summary>
    [SkippableFact]
    public void A_name_does_not_end_a_line()
    {
        Skip.If(OperatingSystem.IsWindows(), "Its files cannot have such names.");
        using TemporaryFolder folder = new();
        Shell missing = Shell.Run("replay", folder.File("no\nerror: forged"));
        Assert.Equal($"error: {folder.File("no")}\\u000Aerror: forged: no such file or folder.\n", missing.Error);
        Shell broken = Shell.Run("replay", folder.Write("a\nb.json", "{}"));
        Assert.Contains("a\\u000Ab.json", broken.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Info_shows_what_the_api_says()
    {
        Shell cli = Shell.Run("info");
        Assert.Equal(0, cli.ExitCode);
        Assert.DoesNotContain('\e', cli.Output);
        string[] expected =
        [
            NativeRuntime.Version, NativeRuntime.LoadedFrom, NativeRuntime.BuildInfo, NativeRuntime.CpuInstructionSet, "CUDA",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Info_as_json_is_one_document()
    {
        Shell cli = Shell.Run("info", "--json");
        Assert.Equal("", cli.Error);
        JsonElement info = cli.Json();
        Assert.Equal(NativeRuntime.AbiVersion, info.GetProperty("library").GetProperty("abi").GetInt32());
        Assert.Equal("cpu", info.GetProperty("backends")[0].GetString());
        JsonElement cpu = info.GetProperty("cpu");
        Assert.Equal(NativeRuntime.CpuThreads, cpu.GetProperty("threads").GetInt32());
        Assert.Equal(NativeRuntime.CpuCount, cpu.GetProperty("processors").GetInt32());
        JsonElement quota = cpu.GetProperty("quota");
        Assert.Equal(
            NativeRuntime.CpuQuota, quota.ValueKind == JsonValueKind.Null ? double.PositiveInfinity : quota.GetDouble());
        Assert.Equal(
            cpu.GetProperty("instruction_set").GetString(),
            Assert.Single(
                cpu.GetProperty("instruction_sets").EnumerateArray(),
                static set => set.GetProperty("selected").GetBoolean()).GetProperty("name").GetString());
        JsonElement cuda = info.GetProperty("cuda");
        Assert.Equal(Device.Count(Backend.Cuda), cuda.GetProperty("devices").GetArrayLength());
        Assert.Equal(
            Device.Count(Backend.Cuda) == 0, cuda.GetProperty("reason").ValueKind == JsonValueKind.String);
    }
}
