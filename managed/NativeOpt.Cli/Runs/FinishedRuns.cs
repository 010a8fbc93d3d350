using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>
/// The finished runs of a command that does many, in a file that is replaced after each of them, so that <c>--resume</c> goes
/// on after the last one.
/// </summary>
/// <typeparam name="TRun">What came of a run, in full: what is read again is taken for the run itself.</typeparam>
internal sealed class FinishedRuns<TRun>
    where TRun : class
{
    /// <summary>The file's name.</summary>
    public const string FileName = "runs.json";

    // Unlike the documents for others, this one keeps NaN and infinities: all numbers come back as the same bits.
    private static readonly JsonSerializerOptions _options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };

    private readonly string _path;
    private readonly JsonNode _plan;
    private readonly Dictionary<string, TRun> _runs;
    private OutputFiles _files = new();

    private FinishedRuns(string path, JsonNode plan, Dictionary<string, TRun> runs) => (_path, _plan, _runs) = (path, plan, runs);

    /// <summary>Reads what an earlier command has finished, if that is wanted and there.</summary>
    /// <param name="folder">The folder of the command's files.</param>
    /// <param name="resume">Whether <c>--resume</c> is given; if not, the first run that is added replaces the file.</param>
    /// <param name="plan">All that decides what comes of the runs; a record.</param>
    /// <exception cref="UsageException">The file is of another plan or of another version, or cannot be read.</exception>
    public static FinishedRuns<TRun> Open(string folder, bool resume, object plan)
    {
        string path = Path.Combine(folder, FileName);
        JsonNode now = JsonSerializer.SerializeToNode(plan, plan.GetType(), _options)!;
        if (!resume || !File.Exists(path))
        {
            return new FinishedRuns<TRun>(path, now, []);
        }

        Contents earlier;
        try
        {
            using FileStream file = File.OpenRead(path);
            earlier = JsonSerializer.Deserialize<Contents>(file, _options)
                ?? throw new JsonException("It holds nothing.");
        }
        catch (Exception error) when (error is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{CommonOptions.ResumeName}: {path} cannot be read: {error.Message} Leave the option out to begin anew.");
        }

        string? difference = earlier.Version == NativeRuntime.Version
            ? Difference("", earlier.Plan, now) : $"the version, {earlier.Version} there and {NativeRuntime.Version} here";
        return difference is null ? new FinishedRuns<TRun>(path, now, earlier.Runs)
            : throw new UsageException($"{CommonOptions.ResumeName}: the runs in {path} are of another plan, which differs in "
                + $"{difference}. Give the same options, or leave {CommonOptions.ResumeName} out to begin anew.");
    }

    /// <summary>A finished run; null if it has to be done.</summary>
    public TRun? Find(string name) => _runs.GetValueOrDefault(name);

    /// <summary>Keeps a run that is finished, and not one that ended early on request.</summary>
    /// <param name="name">What <see cref="Find"/> finds it by.</param>
    /// <param name="run">What came of it.</param>
    public void Add(string name, TRun run)
    {
        _runs[name] = run;
        _files = new OutputFiles(); // Only the last attempt counts, which is at all runs.
        var contents = new Contents(NativeRuntime.Version, _plan, _runs);
        _files.Write(_path, file => JsonSerializer.Serialize(file, contents, _options));
    }

    /// <summary>Reports that the last run could not be kept.</summary>
    /// <exception cref="OutputFault">The file could not be written.</exception>
    public void ThrowIfLost() => _files.ThrowIfLost();

    // The first place where two documents differ, with both values; null if they are equal.
    private static string? Difference(string name, JsonNode? there, JsonNode? here)
    {
        if (there is JsonObject old && here is JsonObject current)
        {
            return old.Select(static pair => pair.Key).Union(current.Select(static pair => pair.Key))
                .Select(key => Difference(name.Length > 0 ? $"{name}.{key}" : key, old[key], current[key]))
                .FirstOrDefault(static difference => difference is not null);
        }

        return JsonNode.DeepEquals(there, here) ? null
            : $"{name}, {there?.ToJsonString() ?? "null"} there and {here?.ToJsonString() ?? "null"} here";
    }

    private sealed record Contents(string Version, JsonNode Plan, Dictionary<string, TRun> Runs);
}
