using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml.Linq;

namespace NativeOpt.Cli.Reports;

/// <summary>
/// What a JSON document holds, as HTML: objects become lists of names and values, arrays of objects become tables.
/// </summary>
internal static class ReportTable
{
    // What is longer is folded away.
    private const int ShownRows = 30, ShownElements = 12, ShownCharacters = 120;

    // What is shorter stays on one line.
    private const int LineCharacters = 60;

    /// <summary>A table with a caption, folded if it is long.</summary>
    /// <param name="caption">The caption.</param>
    /// <param name="rows">The rows; objects.</param>
    /// <param name="note">What is to be said below it; null: nothing.</param>
    /// <param name="isFolded">Whether it is folded; null: if it is long.</param>
    public static XElement Of(string caption, IReadOnlyList<JsonObject> rows, string? note = null, bool? isFolded = null)
    {
        XElement[] content =
        [
            Html.Element(
                "div", Html.Class("scroll"), Html.Attribute("role", "region"), Html.Attribute("aria-label", caption),
                Html.Attribute("tabindex", "0"), Table(caption, rows)),
            .. note is null ? [] : new[] { Html.Element("p", Html.Class("note"), note) },
        ];
        return isFolded ?? rows.Count > ShownRows
            ? Fold($"{caption}: {Count(rows.Count, "row")}", content) : Html.Element("div", Html.Class("table"), content);
    }

    /// <summary>Names and values, those of inner objects after the names of these.</summary>
    public static XElement Facts(IEnumerable<KeyValuePair<string, JsonNode?>> facts) => Html.Element(
        "dl",
        facts.SelectMany(static fact => Flatten(fact.Key, fact.Value)).Select(static fact => Html.Element(
            "div", Html.Element("dt", Words(fact.Name)), Html.Element("dd", Cell(fact.Name, fact.Value)))));

    /// <summary>Something that opens when it is asked for, without a script.</summary>
    public static XElement Fold(string summary, params IEnumerable<object> content) =>
        Html.Element("details", Html.Element("summary", summary), content);

    /// <summary>How people read the name of something in a document.</summary>
    public static string Words(string name)
    {
        string words = name.Replace('_', ' ').Replace('.', ' ');
        return words.Length > 0 ? char.ToUpperInvariant(words[0]) + words[1..] : words;
    }

    /// <summary>The rows of an array of objects; null if it is none.</summary>
    public static IReadOnlyList<JsonObject>? Rows(JsonNode? node) =>
        node is JsonArray { Count: > 0 } array && array.All(static one => one is JsonObject)
            ? [.. array.Select(static one => (JsonObject)one!)] : null;

    private static XElement Table(string caption, IReadOnlyList<JsonObject> rows)
    {
        Dictionary<string, JsonNode?>[] cells =
        [
            .. rows.Select(static row => row.SelectMany(static pair => Flatten(pair.Key, pair.Value))
                .DistinctBy(static pair => pair.Name).ToDictionary()),
        ];
        string[] names =
        [
            .. cells.SelectMany(static row => row).Where(static cell => cell.Value is not null)
                .Select(static cell => cell.Key).Distinct(),
        ];
        Column[] columns = [.. names.Select(name => Column.Of(name, [.. cells.Select(row => row.GetValueOrDefault(name))]))];
        return Html.Element(
            "table",
            Html.Element("caption", caption),
            Html.Element("thead", Html.Element("tr", columns.Select(static column => Html.Element(
                "th", Html.Attribute("scope", "col"), column.IsNumeric ? Html.Class("number") : null, Words(column.Name))))),
            Html.Element("tbody", Enumerable.Range(0, rows.Count).Select(row => Html.Element("tr", columns.Select(
                (column, i) => i == 0
                    ? Html.Element(
                        "th", Html.Attribute("scope", "row"), column.IsNumeric ? Html.Class("number") : null, column.Cell(row))
                    : Html.Element("td", column.IsNumeric ? Html.Class("number") : null, column.Cell(row)))))));
    }

    // Two names that become one are told apart by the dot, which no name of ours has.
    private static IEnumerable<(string Name, JsonNode? Value)> Flatten(string name, JsonNode? value) =>
        value is JsonObject { Count: > 0 } inner && Spread(inner) is null
            ? inner.SelectMany(pair => Flatten($"{name}.{pair.Key}", pair.Value)) : [(name, value)];

    private static object Cell(string name, JsonNode? value) => value switch
    {
        null => Html.Element("span", Html.Class("none"), Html.Attribute("title", "no value"), "–"),
        JsonObject { Count: 0 } or JsonArray { Count: 0 } => "none",
        JsonObject inner => Spread(inner)!,
        JsonArray array when Rows(array) is { } rows => Fold(Count(rows.Count, "row"), Table(Words(name), rows)),
        JsonArray array => List(name, array),
        _ => Scalar(name, value),
    };

    private static object Scalar(string name, JsonNode value)
    {
        switch (value.GetValueKind())
        {
            case JsonValueKind.True:
                return "yes";
            case JsonValueKind.False:
                return "no";
            case JsonValueKind.Number:
                return Number(value, number => ReportNumber.Format(name, number, IsWhole(value)));
            default:
                string text = value.GetValue<string>();
                return text.Length <= LineCharacters && !text.Contains('\n', StringComparison.Ordinal) ? text
                    : text.Length <= ShownCharacters ? Html.Element("span", Html.Class("long"), text)
                    : Fold(Count(text.Length, "character"), Html.Element("pre", text));
        }
    }

    // What is rounded says all of its digits under the pointer.
    private static object Number(JsonNode value, Func<double, string> format)
    {
        string exact = value.ToJsonString();
        string text = IsWhole(value) && exact.Length > 15 ? exact : format(ToDouble(value));
        return text == exact ? text : Html.Element("span", Html.Attribute("title", exact), text);
    }

    private static XElement List(string name, JsonArray array)
    {
        if (array.Any(static one => one is JsonArray))
        {
            return Fold(Count(array.Count, "list"), array.Select(one => Html.Element("p", Cell(name, one))));
        }

        IEnumerable<object> parts = array.SelectMany((one, i) => i == 0 ? new[] { Cell(name, one) } : [", ", Cell(name, one)]);
        return array.Count <= ShownElements
            ? Html.Element("span", parts) : Fold(Count(array.Count, "value"), Html.Element("p", parts));
    }

    // A number with its interval or its deviation; null if the object is neither.
    private static string? Spread(JsonObject inner)
    {
        double? middle = Find(inner, "value", "mean", "median");
        double? low = Find(inner, "low"), high = Find(inner, "high");
        double? deviation = Find(inner, "standard_deviation", "standard_error");
        if (middle is not double center)
        {
            return null;
        }

        if (inner.Count == 3 && low is not null && high is not null)
        {
            Func<double, string> format = ReportNumber.WithSpread((high.Value - low.Value) / 2);
            return $"{format(center)} [{format(low.Value)}, {format(high.Value)}]";
        }

        if (inner.Count == 2 && deviation is double own)
        {
            Func<double, string> format = ReportNumber.WithSpread(own);
            return $"{format(center)} ± {format(own)}";
        }

        return null;
    }

    private static double? Find(JsonObject inner, params IEnumerable<string> names) =>
        names.Select(name => inner[name]).FirstOrDefault(IsNumber) is { } number ? ToDouble(number) : null;

    private static bool IsNumber(JsonNode? value) => value?.GetValueKind() == JsonValueKind.Number;

    // A number that was read converts to any type, and one that was made does not.
    private static double ToDouble(JsonNode number) => double.Parse(number.ToJsonString(), CultureInfo.InvariantCulture);

    private static bool IsWhole(JsonNode value) => value.ToJsonString().AsSpan().IndexOfAny('.', 'e', 'E') < 0;

    private static string Count(int count, string what) =>
        FormattableString.Invariant($"{count:N0} {what}{(count == 1 ? "" : "s")}");

    private sealed record Column(string Name, bool IsNumeric, IReadOnlyList<JsonNode?> Values, Func<double, string> Format)
    {
        public static Column Of(string name, IReadOnlyList<JsonNode?> values)
        {
            JsonNode[] numbers = [.. values.OfType<JsonNode>().Where(IsNumber)];
            bool areNumbers = numbers.Length > 0 && values.All(static value => value is null or JsonObject || IsNumber(value));
            return new Column(
                name,
                areNumbers || (values.All(static value => value is JsonObject { Count: > 0 }) && values.Count > 0),
                values,
                areNumbers
                    ? ReportNumber.FormatOf(name, [.. numbers.Select(ToDouble)], numbers.All(IsWhole))
                    : number => ReportNumber.Format(name, number, isWhole: false));
        }

        public object Cell(int row) =>
            IsNumeric && IsNumber(Values[row]) ? Number(Values[row]!, Format) : ReportTable.Cell(Name, Values[row]);
    }
}
