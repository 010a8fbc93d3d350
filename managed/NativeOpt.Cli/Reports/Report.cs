using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Reports;

/// <summary>A run on one page that needs nothing else: no script, no font, and nothing from anywhere.</summary>
internal static class Report
{
    // Whatever a page may have taken in, a browser gets nothing for it and runs nothing of it.
    private const string Policy = "default-src 'none'; style-src 'unsafe-inline'";

    // Results that are more than some screens would hide the pictures.
    private const int MostRows = 100;

    private const string Folder = "folder", Results = "results";

    /// <summary>The page.</summary>
    /// <param name="run">The record of the run.</param>
    /// <param name="files">Its files.</param>
    public static string Of(RunDocument run, ReportFiles files)
    {
        (string Title, IReadOnlyList<XElement> Content)[] sections =
        [
            .. new (string, IReadOnlyList<XElement>)[]
            {
                ("outcome", [.. ResultsOf(run)]),
                ("pictures", files.Pictures),
                ("configuration", [ReportTable.Facts(run.Configuration)]),
                ("files", files.Others),
                ("environment", [ReportTable.Facts(Environment(run))]),
            }.Where(static section => section.Item2.Count > 0),
        ];
        return Html.Document(Html.Element(
            "html",
            Html.Attribute("lang", "en"),
            Head(run),
            Html.Element(
                "body",
                Header(run),
                Html.Element(
                    "nav", Html.Attribute("aria-label", "Contents"), sections.Select(static section => Html.Element(
                        "a", Html.Attribute("href", $"#{section.Title}"), ReportTable.Words(section.Title)))),
                Html.Element("main", sections.Select(static section => Html.Element(
                    "section",
                    Html.Attribute("id", section.Title),
                    Html.Element("h2", ReportTable.Words(section.Title)),
                    section.Content))),
                Html.Element("footer", Html.Element(
                    "p", $"Made by nativeopt report {CommandLine.Version.Split('+')[0]} from {RunDocument.FileName}.")))));
    }

    private static XElement Head(RunDocument run) => Html.Element(
        "head",
        Html.Element("meta", Html.Attribute("charset", "utf-8")),
        Meta("viewport", "width=device-width, initial-scale=1"),
        Meta("color-scheme", "light dark"),
        Html.Element("meta", Html.Attribute("http-equiv", "Content-Security-Policy"), Html.Attribute("content", Policy)),
        Html.Element("title", run.Command),
        Html.Element("style", Style()));

    private static XElement Header(RunDocument run) => Html.Element(
        "header",
        Html.Element("h1", run.Command),
        Html.Element(
            "p",
            Html.Class("lead"),
            Html.Element("span", Html.Class($"end {(run.End == CommonOptions.Name(RunEnd.Completed) ? "good" : "bad")}"), run.End),
            $" after {ReportNumber.Time(run.Seconds)}, begun on ",
            Html.Element(
                "time",
                Html.Attribute("datetime", run.Started.ToString("O", CultureInfo.InvariantCulture)),
                run.Started.ToString("d MMMM yyyy, HH:mm 'UTC'", CultureInfo.InvariantCulture)),
            run.Seeds.Length == 0 ? "" : $", {(run.Seeds.Length == 1 ? "seed" : "seeds")} {string.Join(", ", run.Seeds)}"),
        run.Message is { } message ? Html.Element("p", Html.Class("fault"), message) : null,
        Html.Element("pre", Html.Class("command"), Html.Element("code", run.CommandLine)));

    // Facts first, but for those that the configuration has, too; then the tables, that of the results before the others.
    private static IEnumerable<XElement> ResultsOf(RunDocument run)
    {
        if (run.Summary is not JsonObject summary)
        {
            return ReportTable.Rows(run.Summary) is { } rows ? [ReportTable.Of(ReportTable.Words(Results), rows)] : [];
        }

        (string Name, IReadOnlyList<JsonObject> Rows)[] tables =
        [
            .. summary.Select(static pair => (pair.Key, Rows: ReportTable.Rows(pair.Value)))
                .Where(static table => table.Rows is not null).Select(static table => (table.Key, table.Rows!))
                .OrderByDescending(static table => table.Key == Results),
        ];
        KeyValuePair<string, JsonNode?>[] facts =
        [
            .. summary.Where(pair =>
                pair.Key != Folder && !run.Configuration.ContainsKey(pair.Key) && ReportTable.Rows(pair.Value) is null),
        ];
        return
        [
            .. facts.Length > 0 ? [ReportTable.Facts(facts)] : Array.Empty<XElement>(),
            .. tables.Select(static table => ReportTable.Of(
                ReportTable.Words(table.Name), table.Rows, isFolded: table.Name == Results ? table.Rows.Count > MostRows : null)),
        ];
    }

    private static IEnumerable<KeyValuePair<string, JsonNode?>> Environment(RunDocument run) =>
        new (string, JsonNode?)[]
        {
            ("processor", run.Machine.Processor),
            ("cores", run.Machine.Cores),
            ("threads", run.Machine.Threads),
            ("instruction_set", run.Machine.InstructionSet),
            ("GPU", run.Machine.Gpu ?? "none used"),
            ("system", run.Versions.System),
            ("NativeOpt", run.Versions.Nativeopt),
            ("commit", run.Versions.Commit ?? "not known to the build"),
            ("native_library", $"{run.Versions.Library}: {run.Versions.LibraryBuild}"),
            ("runtime", run.Versions.Dotnet),
        }.Select(static pair => KeyValuePair.Create(pair.Item1, pair.Item2));

    private static XElement Meta(string name, string content) =>
        Html.Element("meta", Html.Attribute("name", name), Html.Attribute("content", content));

    // HTML reads it as it is, so that it must not have what elements escape.
    private static string Style()
    {
        using var reader = new StreamReader(typeof(Report).Assembly.GetManifestResourceStream("report.css")!);
        return reader.ReadToEnd();
    }
}
