using System.Text.Json;

namespace NativeOpt.Cli.Replay;

/// <summary>A value in a JSON document together with where it is, so that errors can name the place.</summary>
internal readonly record struct JsonNode(JsonElement Element, string Path)
{
    /// <summary>Requires an object that has no other members than these.</summary>
    public JsonNode Object(params ReadOnlySpan<string> members)
    {
        Require(JsonValueKind.Object, "an object");
        foreach (JsonProperty member in Element.EnumerateObject())
        {
            if (!members.Contains(member.Name))
            {
                throw Error($"\"{member.Name}\" is unknown here; known are {string.Join(", ", members)}");
            }
        }

        return this;
    }

    /// <summary>Requires an object, and names its members.</summary>
    public string[] Members()
    {
        Require(JsonValueKind.Object, "an object");
        return [.. Element.EnumerateObject().Select(static member => member.Name)];
    }

    public bool Has(string name) => Element.TryGetProperty(name, out _);

    public JsonNode Member(string name) =>
        Optional(name) ?? throw Error($"\"{name}\" is missing");

    public JsonNode? Optional(string name) =>
        Element.TryGetProperty(name, out JsonElement member)
            ? new JsonNode(member, Path.Length == 0 ? name : $"{Path}.{name}")
            : null;

    public string Text()
    {
        Require(JsonValueKind.String, "a string");
        return Element.GetString()!;
    }

    public string OneOf(params ReadOnlySpan<string> words)
    {
        string word = Text();
        return words.Contains(word)
            ? word
            : throw Error($"\"{word}\" is not one of {string.Join(", ", words)}");
    }

    public bool Boolean() =>
        Element.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? Element.GetBoolean()
            : throw Error("true or false is needed");

    public int Integer(int minimum)
    {
        Require(JsonValueKind.Number, "a whole number");
        return Element.TryGetInt32(out int number) && number >= minimum
            ? number
            : throw Error($"{Element.GetRawText()} is not a whole number from {minimum}");
    }

    /// <summary>A finite number; JSON has no NaN, but 1e999 is infinite.</summary>
    public double Number(double minimum = double.NegativeInfinity)
    {
        Require(JsonValueKind.Number, "a number");
        double number = Element.GetDouble();
        if (!double.IsFinite(number))
        {
            throw Error($"{Element.GetRawText()} is not finite");
        }

        return number >= minimum
            ? number
            : throw Error(FormattableString.Invariant($"{number} is less than {minimum}"));
    }

    /// <summary>A number that is finite as a float, rounded to it.</summary>
    public float Single()
    {
        float number = (float)Number();
        return float.IsFinite(number) ? number : throw Error($"{Element.GetRawText()} is not finite as a float32");
    }

    /// <summary>The elements of an array of any length.</summary>
    public JsonNode[] Items()
    {
        Require(JsonValueKind.Array, "an array");
        string path = Path;
        return [.. Element.EnumerateArray().Select((item, i) => new JsonNode(item, $"{path}[{i}]"))];
    }

    /// <summary>The elements of an array of a given length.</summary>
    public JsonNode[] Items(int count, string counted)
    {
        JsonNode[] items = Items();
        return items.Length == count
            ? items
            : throw Error($"{items.Length} values, but {count} {counted}");
    }

    public TraceFormatException Error(string problem) => new(Path.Length == 0 ? problem : $"{Path}: {problem}");

    private void Require(JsonValueKind kind, string name)
    {
        if (Element.ValueKind != kind)
        {
            throw Error($"{name} is needed, not {Describe(Element.ValueKind)}");
        }
    }

    private static string Describe(JsonValueKind kind) => kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.Null => "null",
        _ => "true or false",
    };
}
