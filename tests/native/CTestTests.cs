using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace NativeOpt.Native.Tests;

/// <summary>Runs one half of the native tests, each as a case of one theory.</summary>
public sealed class CTestTests : NativeTests
{
    public static TheoryData<string> Names => [.. Half(0)];

    [SkippableTheory]
    [MemberData(nameof(Names))]
    public Task Passes(string name) => RunAsync(name);
}

/// <summary>Runs the other half, beside the first: most tests begin and end a process, and use one processor.</summary>
public sealed class MoreCTestTests : NativeTests
{
    public static TheoryData<string> Names => [.. Half(1)];

    [SkippableTheory]
    [MemberData(nameof(Names))]
    public Task Passes(string name) => RunAsync(name);
}

/// <summary>The tests that CTest knows.</summary>
public abstract class NativeTests
{
    /// <summary>Generous: the longest takes seconds. A test that hangs must not hang the run.</summary>
    private static readonly TimeSpan TimeLimit = TimeSpan.FromMinutes(5);

    private static readonly string BuildDirectory = typeof(NativeTests).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key == "NativeBuildDirectory").Value!;

    private static readonly Lazy<Dictionary<string, NativeTest>> Tests = new(Discover);

    /// <summary>The names of every other test, from the first (0) or the second (1).</summary>
    protected static IEnumerable<string> Half(int first) => Tests.Value.Keys.Where((_, index) => index % 2 == first);

    /// <summary>Runs a test; what it reports becomes the outcome of the caller.</summary>
    protected static async Task RunAsync(string name)
    {
        NativeTest test = Tests.Value[name];
        (int exitCode, string output) = await RunAsync(test.WorkingDirectory, test.Command);
        Match skipped = Regex.Match(output, @"(?:\[  SKIPPED \].*|SKIPPED: .*|[^\n]*: Skipped\n.*)");
        Skip.If(exitCode == 0 && test.MaySkip && skipped.Success, skipped.Value.Trim());
        Assert.True(exitCode == 0, $"exit code {exitCode}\n{output}");
    }

    private static Dictionary<string, NativeTest> Discover()
    {
        // Without the tests of the PTX, for which nvcc takes half a minute more; .ci/run has a step of their own.
        (int exitCode, string output) =
            RunAsync(BuildDirectory, ["ctest", "--show-only=json-v1", "-C", "Release", "-LE", "^ptx$"])
                .GetAwaiter().GetResult();
        if (exitCode != 0)
        {
            throw new InvalidOperationException($"ctest could not list the native tests of {BuildDirectory}:\n{output}");
        }

        using JsonDocument document = JsonDocument.Parse(output);
        Dictionary<string, NativeTest> tests = [];
        foreach (JsonElement test in document.RootElement.GetProperty("tests").EnumerateArray())
        {
            string[] command = [.. test.GetProperty("command").EnumerateArray().Select(part => part.GetString()!)];
            string directory = BuildDirectory;
            bool maySkip = false;
            foreach (JsonElement property in test.GetProperty("properties").EnumerateArray())
            {
                switch (property.GetProperty("name").GetString())
                {
                    case "WORKING_DIRECTORY":
                        directory = property.GetProperty("value").GetString()!;
                        break;
                    case "SKIP_REGULAR_EXPRESSION":
                        maySkip = true;
                        break;
                }
            }

            tests.Add(test.GetProperty("name").GetString()!, new NativeTest(command, directory, maySkip));
        }

        return tests;
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(string directory, string[] command)
    {
        ProcessStartInfo start = new(command[0], command.Skip(1))
        {
            WorkingDirectory = directory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        using CancellationTokenSource limit = new(TimeLimit);
        Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token);
        Task<string> error = process.StandardError.ReadToEndAsync(limit.Token);
        try
        {
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output + await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            return (-1, $"{string.Join(' ', command)} ran longer than {TimeLimit}");
        }
    }

    private sealed record NativeTest(string[] Command, string WorkingDirectory, bool MaySkip);
}
