using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>The configuration of a run, as JSON: what its plan was given, and not what follows from it.</summary>
internal static class Configuration
{
    private const string Seed = "seed";

    /// <summary>A plan's settable properties, with theirs.</summary>
    public static JsonObject Of(object plan)
    {
        var all = new JsonObject();
        foreach (PropertyInfo property in SettableOf(plan))
        {
            all[Snake(property.Name)] = ToNode(property.GetValue(plan));
        }

        return all;
    }

    /// <summary>The seeds of a configuration, each once.</summary>
    public static ulong[] Seeds(JsonObject configuration) =>
        [.. configuration.SelectMany(static pair => SeedsOf(pair.Key, pair.Value)).Distinct()];

    private static IEnumerable<ulong> SeedsOf(string name, JsonNode? value) => value switch
    {
        JsonArray all when name is Seed or $"{Seed}s" => all.SelectMany(static one => SeedsOf(Seed, one)),
        JsonValue one when name == Seed && one.TryGetValue(out ulong seed) => [seed],
        _ => [],
    };

    private static IEnumerable<PropertyInfo> SettableOf(object plan) => plan.GetType()
        .GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(static property => property.CanWrite);

    // DType is one word.
    private static string Snake(string name) =>
        JsonNamingPolicy.SnakeCaseLower.ConvertName(name.Replace(nameof(DType), "Dtype", StringComparison.Ordinal));

    // What has a name is known by it: a rule, a problem, a shape.
    private static JsonNode? ToNode(object? value) => value switch
    {
        null => null,
        DType or MasterWeights or Device => value.ToString()!.ToLowerInvariant(),
        Enum => Snake(value.ToString()!),
        string or IConvertible => JsonSerializer.SerializeToNode(value, value.GetType(), Terminal.JsonOptions),
        ITuple tuple => new JsonArray([.. Enumerable.Range(0, tuple.Length).Select(i => ToNode(tuple[i]))]),
        IEnumerable all => new JsonArray([.. all.Cast<object?>().Select(ToNode)]),
        _ when value.GetType().GetProperty("Name")?.GetValue(value) is string name => name,
        _ when SettableOf(value).Any() => Of(value),
        _ => value.ToString(),
    };
}
