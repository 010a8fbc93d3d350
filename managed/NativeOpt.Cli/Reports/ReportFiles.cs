using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using Microsoft.VisualBasic.FileIO;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Reports;

/// <summary>The files of a run, as HTML: pictures as they are, tables and texts folded, of others the size.</summary>
internal sealed class ReportFiles
{
    private const int MostRows = 200, MostCharacters = 20_000;

    private readonly List<string> _faults = [];

    private ReportFiles(string folder, IEnumerable<string> names)
    {
        List<XElement> pictures = [], others = [];
        foreach (string name in names)
        {
            bool isPicture = name.EndsWith(".svg", StringComparison.OrdinalIgnoreCase);
            try
            {
                string path = PathOf(folder, name);
                (isPicture ? pictures : others).Add(isPicture ? Picture(path, name, pictures.Count + 1) : Other(path, name));
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException
                or MalformedLineException or ArgumentException)
            {
                string fault = $"{name} is left out: {error.Message.TrimEnd('.')}.";
                _faults.Add(fault);
                (isPicture ? pictures : others).Add(Html.Element("p", Html.Class("fault"), fault));
            }
        }

        (Pictures, Others) = (pictures, others);
    }

    /// <summary>The pictures.</summary>
    public IReadOnlyList<XElement> Pictures { get; }

    /// <summary>All other files.</summary>
    public IReadOnlyList<XElement> Others { get; }

    /// <summary>What could not be taken into the page, and why.</summary>
    public IReadOnlyList<string> Faults => _faults;

    /// <summary>Reads the files that the record of a run names.</summary>
    public static ReportFiles Read(string folder, RunDocument run) => new(folder, run.Files);

    // The name, or a link, may lead out of the folder, whose maker need not be who makes the page of it; a pipe has no end.
    private static string PathOf(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        return name == Path.GetFileName(name) && name is not ("" or "." or "..")
            && new FileInfo(path).LinkTarget is null && !AtomicFile.IsWrittenToAsItIs(path)
            ? path : throw new InvalidDataException("this is no name of a file in the folder, or one of a link or a device");
    }

    private static XElement Picture(string path, string name, int number)
    {
        using StreamReader file = File.OpenText(path);
        return Html.Element(
            "figure", ReportPicture.Read(file, name, $"picture-{number}-"), Html.Element("figcaption", Html.Element("code", name)));
    }

    private static XElement Other(string path, string name) => Path.GetExtension(name).ToLowerInvariant() switch
    {
        ".csv" => Csv(path, name),
        ".txt" or ".md" => Text(path, name),
        _ => Html.Element(
            "p", Html.Class("file"), Html.Element("code", name), $", {ReportNumber.Size(new FileInfo(path).Length)}"),
    };

    private static XElement Text(string path, string name)
    {
        using StreamReader file = File.OpenText(path);
        char[] text = new char[MostCharacters + 1];
        int count = file.ReadBlock(text);
        return ReportTable.Fold(
            name,
            Html.Element("pre", new string(text, 0, Math.Min(count, MostCharacters))),
            count > MostCharacters ? Html.Element("p", Html.Class("note"), "The rest is in the file.") : Html.Element("span"));
    }

    private static XElement Csv(string path, string name)
    {
        using var parser = new TextFieldParser(path) { Delimiters = [","], TrimWhiteSpace = false };
        string[] columns = parser.ReadFields() ?? throw new InvalidDataException("it is empty");
        List<JsonObject> rows = [];
        int count = 0;
        while (parser.ReadFields() is { } fields)
        {
            if (fields.Length != columns.Length)
            {
                throw new InvalidDataException(
                    FormattableString.Invariant($"its row {count + 1} has {fields.Length} fields, and its head {columns.Length}"));
            }

            if (count++ < MostRows)
            {
                var row = new JsonObject();
                for (int i = 0; i < fields.Length; i++)
                {
                    row[columns[i]] = Value(fields[i]);
                }

                rows.Add(row);
            }
        }

        string? note = count > MostRows
            ? FormattableString.Invariant($"The first {MostRows} of {count:N0} rows; the rest is in the file.") : null;
        return ReportTable.Of(name, rows, note, isFolded: true);
    }

    private static JsonValue? Value(string field) =>
        field.Length == 0 ? null
        : long.TryParse(field, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) ? JsonValue.Create(whole)
        : double.TryParse(field, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number)
            ? JsonValue.Create(number)
        : JsonValue.Create(field);
}
