using System.Diagnostics;
using System.Text.Json;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

/// <summary>What was computed is printed whatever becomes of the files, and an old file stays until the new one is whole.</summary>
[Collection("settings of the process")] // bench sets the number of threads
public sealed class OutputFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string[]> Commands => new()
    {
        { "losses.csv", ["train", "--model", "tiny", "--steps", "40", "--optimizer", "adam", "--out"] },
        { "bench.json", ["bench", "--rules", "sgd,adam", "--shapes", "3x100", "--rounds", "1", "--no-peers", "--out"] },
        { "runs.csv", ["saddle", "--problem", "quadratic", "--optimizer", "sgd", "--starts", "30", "--budget", "200", "--out"] },
    };

    private string Out => _folder.File("out");

    public void Dispose() => _folder.Dispose();

    /// <summary>The shell limits how large a file may get, as a full disk does. Standard output is a pipe.</summary>
    [SkippableTheory]
    [MemberData(nameof(Commands))]
    public void A_full_disk_takes_neither_the_results_nor_the_old_files(string name, string[] command)
    {
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/bin/bash"), "Needs bash on Linux.");
        Directory.CreateDirectory(Out);
        string file = Path.Combine(Out, name);
        File.WriteAllText(file, "old");

        // SIGXFSZ is ignored, so that the write fails. Write-xor-execute would map code through a file.
        ProcessStartInfo start = new("/bin/bash")
        {
            ArgumentList = { "-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "bash", "dotnet", "exec" },
            Environment = { ["DOTNET_EnableWriteXorExecute"] = "0" },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string[] program = [Path.Combine(AppContext.BaseDirectory, "NativeOpt.Cli.dll"), .. command, Out, "--json"];
        Array.ForEach(program, start.ArgumentList.Add);
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        using var results = JsonDocument.Parse(process.StandardOutput.ReadToEnd());
        process.WaitForExit();
        Assert.Equal(1, process.ExitCode);
        Assert.Contains($"{file} could not be written and is as it was", error.Result, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error.Result, StringComparison.Ordinal);
        Assert.Equal("old", File.ReadAllText(file));
        Assert.DoesNotContain(Directory.GetFiles(Out), static path => path.EndsWith(".tmp", StringComparison.Ordinal));
        JsonElement rows = results.RootElement.ValueKind == JsonValueKind.Array
            ? results.RootElement : results.RootElement.GetProperty("results");
        Assert.NotEqual(0, rows.GetArrayLength());
    }

    /// <summary>A file that cannot be written, since there is a folder of its name, does not keep the command from the others.</summary>
    [Theory]
    [MemberData(nameof(Commands))]
    public void What_can_be_written_is_and_the_rest_is_named(string name, string[] command)
    {
        string folder = Directory.CreateDirectory(Path.Combine(Out, name)).FullName;
        Shell cli = Shell.Run([.. command, Out]);
        Assert.Equal(1, cli.ExitCode);
        Assert.Contains($"error: {folder} could not be written", cli.Error, StringComparison.Ordinal);
        string written = cli.Output.Split('\n').Single(static line => line.StartsWith("written to ", StringComparison.Ordinal));
        string[] names = written[$"written to {Out}: ".Length..].Split(", ");
        Assert.Equal(
            names.Order(StringComparer.Ordinal), Directory.GetFiles(Out).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.True(names.Length >= 2);
        Assert.DoesNotContain(name, names);
    }

    /// <summary>Who reads from it would take an early end for the end, and the write would wait for another reader for ever.</summary>
    [SkippableFact]
    public async Task A_pipe_is_opened_once()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "Only Linux is asked what kind of file it is.");
        string pipe = _folder.File("pipe");
        using (Process make = Process.Start("mkfifo", pipe))
        {
            await make.WaitForExitAsync();
        }

        Task<string> read = Task.Run(() => File.ReadAllText(pipe)); // It waits for who writes.
        OutputFiles.PrepareFile("--json", pipe);
        OutputFiles files = new();
        Assert.True(files.Write(pipe, "all of it"));
        Assert.Equal("all of it", await read);
    }

    [Fact]
    public void A_rate_that_one_of_the_rules_refuses_is_refused_before_the_runs()
    {
        Shell cli = Shell.Run(
            "train", "--compare", "adam,miadam", "--learning-rate", "200000", "--steps", "2", "--out", _folder.File("out"));
        Assert.Equal(2, cli.ExitCode);
        Assert.Contains("with miadam it must be", cli.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.File("out")));
    }

    [Fact]
    public void The_results_file_of_a_bench_is_not_touched_before_it_is_written()
    {
        string file = _folder.Write("results.json", "old");
        OutputFiles.PrepareFile("--json", file);
        Assert.Equal("old", File.ReadAllText(file));
        OutputFiles.PrepareFile("--json", _folder.File("new.json"));
        Assert.Equal([file], Directory.GetFileSystemEntries(_folder.Path));
        Directory.CreateDirectory(Out);
        UsageException refused = Assert.Throws<UsageException>(() => OutputFiles.PrepareFile("--json", Out));
        Assert.Contains($"--json {Out}", refused.Message, StringComparison.Ordinal);

        var files = new OutputFiles();
        Assert.True(files.Write(file, "new"));
        files.ThrowIfLost();
        Assert.False(files.Write(Out, "new"));
        Assert.Contains(Out, Assert.Throws<OutputFault>(files.ThrowIfLost).Message, StringComparison.Ordinal);
        Assert.Equal("new", File.ReadAllText(file));
    }
}
