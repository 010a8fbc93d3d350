using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>How a command ended.</summary>
internal enum RunEnd
{
    Completed,

    /// <summary>On request, with what there was.</summary>
    Cancelled,

    Failed,
}

/// <summary>
/// What there is to tell of a run beside its results. A command makes one before its work begins, and
/// <see cref="OutputFiles.Publish"/> leaves it in the folder as <see cref="RunDocument.FileName"/>. Dates and durations are in this
/// file, so that the tables and pictures of equal runs are equal.
/// </summary>
/// <param name="Parsed">The command line.</param>
/// <param name="Plan">What the command made of it; a record, whose settable properties become the configuration.</param>
/// <param name="Device">Where it computes.</param>
internal sealed record RunRecord(ParseResult Parsed, object Plan, Device Device = default)
{
    private readonly DateTime _started = DateTime.UtcNow;
    private readonly long _timestamp = Stopwatch.GetTimestamp();

    /// <summary>How the command ended.</summary>
    public RunEnd End { get; init; }

    /// <summary>Why it failed; null if it did not.</summary>
    public string? Message { get; init; }

    /// <summary>The command line, as a shell would take it.</summary>
    public string Line => $"nativeopt {string.Join(' ', Arguments.Select(Quote))}";

    private string[] Arguments => [.. Parsed.Tokens.Select(static token => token.Value)];

    /// <summary>The file, as of now.</summary>
    /// <param name="files">The names of the other files.</param>
    /// <param name="summary">The document that <c>--json</c> prints.</param>
    public (string Name, string Text) File<T>(IReadOnlyList<string> files, T summary)
    {
        JsonObject configuration = Configuration.Of(Plan);
        string[] version = Commands.CommandLine.Version.Split('+', 2);
        var document = new RunDocument(
            RunDocument.CurrentFormat,
            Commands.CommandLine.PathOf(Parsed.CommandResult),
            Line,
            Arguments,
            configuration,
            Configuration.Seeds(configuration),
            _started,
            Math.Round(Stopwatch.GetElapsedTime(_timestamp).TotalSeconds, 3),
            CommonOptions.Name(End),
            Message,
            new RunDocument.VersionsOfRun(
                version[0],
                version.ElementAtOrDefault(1),
                NativeRuntime.Version,
                NativeRuntime.BuildInfo,
                RuntimeInformation.FrameworkDescription,
                $"{RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})"),
            new RunDocument.MachineOfRun(
                Machine.Processor,
                Environment.ProcessorCount,
                NativeRuntime.CpuThreads,
                NativeRuntime.CpuInstructionSet,
                Machine.Gpu(Device)),
            [.. files],
            JsonSerializer.SerializeToNode(summary, Terminal.JsonOptions)!);
        return (RunDocument.FileName, Terminal.ToJson(document) + "\n");
    }

    // What holds only such characters means itself to every shell.
    private static string Quote(string word) =>
        word.Length > 0 && word.All(static own => char.IsAsciiLetterOrDigit(own) || "-_./,:=+@%".Contains(own))
            ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
