using System.Text.Json;
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

    [Theory]
    [InlineData("bench")]
    [InlineData("info")]
    [InlineData("replay")]
    [InlineData("selftest")]
    [InlineData("train")]
    public void Help_of_every_command_has_examples(string command)
    {
        Shell cli = Shell.Run(command, "--help");
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("--json", cli.Output, StringComparison.Ordinal);
        Assert.Contains("Examples:", cli.Output, StringComparison.Ordinal);
        Assert.Contains($"  nativeopt {command}", cli.Output, StringComparison.Ordinal);
        Assert.Contains($"  {command} ", Shell.Run("--help").Output, StringComparison.Ordinal);
    }

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
