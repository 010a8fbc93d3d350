using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>All that decides what comes of runs: what is kept of them is taken up again under an equal plan alone.</summary>
internal sealed class RunPlan
{
    private RunPlan(JsonNode json) => Json = json;

    /// <summary>
    /// How runs and plans are kept. Unlike the documents for others, these have NaN and infinities: all numbers come back as the
    /// same bits.
    /// </summary>
    public static JsonSerializerOptions Options { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
    };

    /// <summary>The plan as it is kept.</summary>
    public JsonNode Json { get; }

    /// <summary>Makes a plan of a record.</summary>
    public static RunPlan Of(object plan) => new(JsonSerializer.SerializeToNode(plan, plan.GetType(), Options)!);

    /// <summary>Reads a file that is to be taken up again.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="read">Reads it; what it throws for a file that is none of its kind becomes an error that names the file.</param>
    /// <exception cref="UsageException">It cannot be read.</exception>
    public static T Read<T>(string path, Func<FileStream, T> read)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            return read(file);
        }
        catch (Exception error)
            when (error is JsonException or IOException or InvalidDataException or UnauthorizedAccessException or FormatException
                or ArgumentException)
        {
            throw new UsageException(
                $"{CommonOptions.ResumeName}: {path} cannot be read: {error.Message} Leave the option out to begin anew.");
        }
    }

    /// <summary>Throws if a file is of another plan or of another version of the library.</summary>
    /// <param name="path">The file.</param>
    /// <param name="version">The version that wrote it.</param>
    /// <param name="plan">The plan that it has.</param>
    /// <exception cref="UsageException">It is; the message names what differs.</exception>
    public void Require(string path, string version, JsonNode plan)
    {
        string? difference;
        try
        {
            difference = version == NativeRuntime.Version
                ? Difference("", plan, Json) : $"the version, {version} there and {NativeRuntime.Version} here";
        }
        catch (ArgumentException)
        {
            difference = "a name that is there twice"; // which is told when the object is looked at
        }

        if (difference is not null)
        {
            throw new UsageException($"{CommonOptions.ResumeName}: the runs in {path} are of another plan, which differs in "
                + $"{difference}. Give the same options, or leave {CommonOptions.ResumeName} out to begin anew.");
        }
    }

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
}
