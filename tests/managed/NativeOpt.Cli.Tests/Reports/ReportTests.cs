using System.Text.Json.Nodes;
using System.Xml.Linq;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Reports;

/// <summary>The page of a run.</summary>
public sealed class ReportTests : IDisposable
{
    private static readonly XNamespace _svg = "http://www.w3.org/2000/svg";

    private readonly TemporaryFolder _folder = new();

    private string Out => _folder.File("out");

    private string Record => Path.Combine(Out, RunDocument.FileName);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("run.json")]
    [InlineData("ends.csv")]
    public void A_file_of_the_run_is_not_written_over(string name)
    {
        MakeRun();
        string file = Path.Combine(Out, name), before = File.ReadAllText(file);
        Shell.Run("report", Out, "--out", file).AssertRefused(2, "--out", name, "another name");
        Assert.Equal(before, File.ReadAllText(file));
    }

    [SkippableFact]
    public void A_record_that_is_a_pipe_is_refused()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "Needs mkfifo.");
        MakeRun();
        string file = Path.Combine(Out, "run.json");
        File.Delete(file);
        System.Diagnostics.Process.Start("mkfifo", [file]).WaitForExit();
        Shell.Run("report", Out).AssertRefused(2, file, "a pipe");
    }

    [Fact]
    public void A_page_has_all_of_a_run_and_needs_nothing_else()
    {
        MakeRun();
        Shell cli = Shell.Run("report", Out);
        Assert.Equal((0, $"written to {Path.Combine(Out, "report.html")}\n"), (cli.ExitCode, cli.Output));
        string text = File.ReadAllText(Path.Combine(Out, "report.html"));
        XElement page = Parse(text);
        Assert.Equal("nativeopt landscape", page.Descendants("h1").Single().Value);
        Assert.Equal(
            ["Outcome", "Pictures", "Configuration", "Files", "Environment"], page.Descendants("h2").Select(static own => own.Value));
        Assert.Equal(2, page.Descendants(_svg + "svg").Count(static own => own.Parent!.Name == "figure"));
        Assert.All(page.Descendants(_svg + "svg"), static own => Assert.NotNull(own.Attribute("aria-label")));
        string[] captions = [.. page.Descendants("caption").Select(static own => own.Value)];
        Assert.Equal(["Results", "Functions", "ends.csv", "paths.csv"], captions);
        Assert.Subset(page.Descendants("dl").SelectMany(FactsOf).ToHashSet(), new HashSet<string>
        {
            "Steps: 3", "Seed: 2", "Recipes: adam, sgd", "Learning rate: –", "Instruction set: " + NativeRuntime.CpuInstructionSet,
        });
        Assert.Contains("seed 2", page.Descendants("p").First().Value, StringComparison.Ordinal);

        // Nothing is fetched, and nothing runs: the one address is the name of a namespace.
        Assert.Equal("default-src 'none'; style-src 'unsafe-inline'", page.Descendants("meta").Single(
            static own => own.Attribute("http-equiv") is not null).Attribute("content")!.Value);
        string rest = text.Replace(_svg.NamespaceName, "", StringComparison.Ordinal)
            .Replace("http-equiv", "", StringComparison.Ordinal);
        Assert.DoesNotContain("http", rest, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("@import", text, StringComparison.Ordinal);
        string[] ids = [.. page.Descendants().Attributes("id").Select(static own => own.Value)];
        Assert.Equal(ids.Distinct(), ids);
        Assert.Contains("picture-2-", string.Join(' ', ids), StringComparison.Ordinal);
        Assert.All(page.Descendants().Attributes("href"), href => Assert.Contains(href.Value[1..], ids));
    }

    /// <summary>A browser reads an element that ends in a slash as one that is open.</summary>
    [Fact]
    public void What_html_knows_no_empty_form_of_is_not_written_so()
    {
        MakeRun();
        Shell.Run("report", Out);
        XElement page = Parse(File.ReadAllText(Path.Combine(Out, "report.html")));
        Assert.All(
            page.DescendantsAndSelf().Where(static own => own.Name.Namespace == XNamespace.None && own.IsEmpty),
            static own => Assert.Equal("meta", own.Name.LocalName));
        string style = page.Descendants("style").Single().Value;
        Assert.True(style.Length > 1000);
        Assert.True(style.AsSpan().IndexOfAny('<', '>', '&') < 0, "the style sheet is read as it is");
    }

    [Fact]
    public void A_table_says_what_a_document_holds()
    {
        MakeRun();
        Rewrite(summary: """
            {"best": "a", "folder": "/x", "steps": 3, "size": {"optimizer_bytes": 2048, "of": [1, 2]},
             "other": [{"n": 1}, {"m": "text"}],
             "results": [
               {"rule": "adam", "power": {"value": -0.5104, "low": -0.54, "high": -0.48}, "holds": true, "runs": [{"k": 1}], "none": null},
               {"rule": "sgd", "power": {"value": -1, "low": -1.06, "high": -0.94}, "holds": false, "runs": [], "none": null}]}
            """);
        XElement page = Report();
        XElement results = page.Descendants("section").First();
        Assert.Equal(["Best: a", "Size optimizer bytes: 2 KiB", "Size of: 1, 2"], FactsOf(results.Element("dl")!));
        XElement[] tables = [.. results.Descendants("table")];
        Assert.Equal(["Results", "Runs", "Other"], tables.Select(static own => own.Element("caption")!.Value));
        Assert.Equal(
            ["Rule", "Power", "Holds", "Runs"], tables[0].Element("thead")!.Descendants("th").Select(static own => own.Value));
        Assert.Equal(
            ["adam", "−0.510 [−0.540, −0.480]", "yes"],
            tables[0].Element("tbody")!.Elements("tr").First().Elements().Take(3).Select(static own => own.Value));
        Assert.All(tables.Descendants("th"), static own => Assert.Contains(own.Attribute("scope")!.Value, new[] { "row", "col" }));
        Assert.Equal(["1", "–", "–", "text"], tables[2].Element("tbody")!.Elements("tr").Elements().Select(static own => own.Value));
    }

    [Fact]
    public void Hostile_texts_are_texts_and_hostile_files_stay_out()
    {
        MakeRun();
        const string Attack = "</style></title><script>alert(1)</script><b title='\"\u202E\u0000\uFFFE'>";
        Rewrite(
            files: ["eggholder.svg", "bad.svg", "../secret.txt", "link.txt", "gone.csv", "ragged.csv", $"{Attack}.txt"],
            message: Attack,
            command: Attack,
            summary: new JsonObject { [Attack] = Attack }.ToJsonString());
        string secret = _folder.Write("secret.txt", "a secret");
        if (OperatingSystem.IsWindows())
        {
            File.WriteAllText(Path.Combine(Out, "link.txt"), ""); // Links need a right there.
        }
        else
        {
            File.CreateSymbolicLink(Path.Combine(Out, "link.txt"), secret);
        }

        File.WriteAllText(Path.Combine(Out, "bad.svg"), "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>");
        File.WriteAllText(Path.Combine(Out, "ragged.csv"), "a,b\n1\n");
        string html = _folder.File("page.html");
        Shell cli = Shell.Run("report", Out, "--out", html);
        Assert.Equal(1, cli.ExitCode);
        string[] faults =
        [
            "bad.svg is left out: it has an element <script>", "../secret.txt is left out", "gone.csv is left out",
            "ragged.csv is left out: its row 1 has 1 fields",
        ];
        Assert.All(faults, fault => Assert.Contains(fault, cli.Error, StringComparison.Ordinal));

        string text = File.ReadAllText(html);
        Assert.DoesNotContain("<script", text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("a secret", text, StringComparison.Ordinal);
        XElement page = Parse(text);
        Assert.Contains("<script>alert(1)</script>", page.Descendants("h1").Single().Value, StringComparison.Ordinal);
        Assert.Contains("\\u202E", page.Descendants("h1").Single().Value, StringComparison.Ordinal);
        Assert.Single(page.Descendants("figure"));
        Assert.Empty(page.Descendants("b"));
    }

    [Fact]
    public void A_long_table_is_folded_and_cut_and_its_fields_may_be_quoted()
    {
        MakeRun();
        File.WriteAllText(
            Path.Combine(Out, "long.csv"),
            "name,value\n" + string.Concat(
                Enumerable.Range(0, 300).Select(static i => FormattableString.Invariant($"\"a, {i}\",{i}.5\n"))));
        Rewrite(files: ["long.csv"]);
        XElement file = Report().Descendants("section")
            .Single(static own => own.Attribute("id")!.Value == "files").Element("details")!;
        Assert.Equal("long.csv: 200 rows", file.Element("summary")!.Value);
        Assert.Equal("The first 200 of 300 rows; the rest is in the file.", file.Element("p")!.Value);
        Assert.Equal(["a, 199", "199.5"], file.Descendants("tr").Last().Elements().Select(static own => own.Value));
    }

    [Fact]
    public void A_folder_that_is_none_is_refused_and_nothing_is_written()
    {
        Shell.Run("report", _folder.Path).AssertRefused(2, RunDocument.FileName, "Name a folder");
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
        MakeRun();
        Shell.Run("report", Out, "--out", Path.Combine(Record, "below")).AssertRefused(2, "--out", "can be written to");
        File.WriteAllText(Record, File.ReadAllText(Record).Replace("{", "{\"end\": \"a\",", StringComparison.Ordinal));
        Shell.Run("report", Out).AssertRefused(2, RunDocument.FileName, "end");
        Assert.False(File.Exists(Path.Combine(Out, "report.html")));
        Shell help = Shell.Run("report", "--help");
        Assert.Contains("nativeopt report landscapes", help.Output, StringComparison.Ordinal);
    }

    private void MakeRun() => Assert.Equal(
        0, Shell.Run("landscape", "--optimizer", "adam,sgd", "--steps", "3", "--seed", "2", "--out", Out).ExitCode);

    private XElement Report()
    {
        Assert.Equal(0, Shell.Run("report", Out).ExitCode);
        return Parse(File.ReadAllText(Path.Combine(Out, "report.html")));
    }

    private static IEnumerable<string> FactsOf(XElement list) =>
        list.Elements("div").Select(static own => $"{own.Element("dt")!.Value}: {own.Element("dd")!.Value}");

    // The page is XML, too, after its first line.
    private static XElement Parse(string html)
    {
        Assert.StartsWith("<!DOCTYPE html>\n<html", html, StringComparison.Ordinal);
        return XElement.Parse(html[(html.IndexOf('\n', StringComparison.Ordinal) + 1)..]);
    }

    private void Rewrite(string[]? files = null, string? message = null, string? command = null, string? summary = null)
    {
        RunDocument run = RunDocument.Read(Out);
        File.WriteAllText(Record, Terminal.ToJson(run with
        {
            Files = files ?? run.Files,
            Message = message,
            Command = command ?? run.Command,
            Summary = summary is null ? run.Summary : JsonNode.Parse(summary)!,
        }));
    }
}
