using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>What <c>run.json</c> says: what was run, with what, on what, and what came of it.</summary>
/// <param name="FormatVersion">The version of this format.</param>
/// <param name="Command">The name of the command, as in <c>nativeopt landscape escape</c>.</param>
/// <param name="CommandLine">All of the command line, as a shell would take it.</param>
/// <param name="Arguments">The arguments as they were given, the name of the command among them.</param>
/// <param name="Configuration">What the command made of them, defaults included.</param>
/// <param name="Seeds">The seeds of the configuration; none if nothing was random.</param>
/// <param name="Started">When it began, in UTC.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="End">How it ended.</param>
/// <param name="Message">Why it failed; null if it did not.</param>
/// <param name="Versions">What it ran with.</param>
/// <param name="Machine">What it ran on.</param>
/// <param name="Files">The names of the other files that it has left in the folder.</param>
/// <param name="Summary">The document that <c>--json</c> prints.</param>
internal sealed record RunDocument(
    int FormatVersion,
    string Command,
    string CommandLine,
    string[] Arguments,
    JsonObject Configuration,
    ulong[] Seeds,
    DateTime Started,
    double Seconds,
    string End,
    string? Message,
    RunDocument.VersionsOfRun Versions,
    RunDocument.MachineOfRun Machine,
    string[] Files,
    JsonNode Summary)
{
    /// <summary>The version of the format that this program writes, and the only one that it reads.</summary>
    public const int CurrentFormat = 1;

    /// <summary>The file's name.</summary>
    public const string FileName = "run.json";

    /// <summary>Reads the file of a folder.</summary>
    /// <exception cref="UsageException">There is none, or it is of another kind or format.</exception>
    public static RunDocument Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        try
        {
            if (AtomicFile.IsWrittenToAsItIs(path))
            {
                throw new IOException("It is a pipe or a device."); // from which reading may never end
            }

            RunDocument document = JsonSerializer.Deserialize<RunDocument>(File.ReadAllText(path), Terminal.JsonOptions)
                ?? throw new JsonException("It holds nothing.");
            return document.Files.Contains(null!) ? throw new JsonException("A file has no name.")
                : document.FormatVersion == CurrentFormat ? document
                : throw new JsonException($"Its format is {document.FormatVersion}, and this program reads {CurrentFormat}.");
        }
        catch (Exception error) when (error is JsonException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"{path}: {error.Message} Name a folder that a command has written with --out.");
        }
    }

    /// <param name="Nativeopt">This program.</param>
    /// <param name="Commit">The commit that it was built from; null if the build did not know.</param>
    /// <param name="Library">The native library.</param>
    /// <param name="LibraryBuild">How that was built.</param>
    /// <param name="Dotnet">.NET.</param>
    /// <param name="System">The operating system.</param>
    internal sealed record VersionsOfRun(
        string Nativeopt, string? Commit, string Library, string LibraryBuild, string Dotnet, string System);

    /// <param name="Processor">The name of the CPU; null if the system does not tell.</param>
    /// <param name="Cores">The processors that the process may use.</param>
    /// <param name="Threads">The threads of a step of the library.</param>
    /// <param name="InstructionSet">Of the library's kernels.</param>
    /// <param name="Gpu">The GPU; null if none was used.</param>
    internal sealed record MachineOfRun(string? Processor, int Cores, int Threads, string InstructionSet, string? Gpu);
}
