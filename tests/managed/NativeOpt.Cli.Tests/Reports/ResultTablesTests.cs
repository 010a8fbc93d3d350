using System.ComponentModel;
using System.Diagnostics;
using System.Text.RegularExpressions;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Reports;

/// <summary>The script that fills the tables of the pages reads what the commands write.</summary>
public sealed partial class ResultTablesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Pages => _folder.File("docs");

    public void Dispose() => _folder.Dispose();

    [SkippableFact]
    public void Tables_are_filled_from_runs_and_checked_against_them()
    {
        string results = _folder.File("results");
        Make("escape", "landscape", "escape", "--optimizer", "adam", "--starts", "20", "--curvatures", "2");
        Make("landscape", "landscape", "--optimizer", "adam", "--steps", "2");
        Make(
            "saddle", "saddle", "--problem", "monkey", "--optimizer", "sgd,adam", "--dimer",
            "none,published,escape,reverse-exact", "--starts", "1", "--budget", "500");
        string model = Path.Combine(results, "solutions");
        Assert.Equal(0, Shell.Run("train", "--model", "tiny", "--steps", "2", "--optimizer", "adam", "--save", "--out", model).ExitCode);
        Make(
            "hessian", "hessian", Path.Combine(model, "adam.safetensors"), "--windows", "1", "--lanczos-steps", "2", "--probes", "2",
            "--density-steps", "2", "--directions", "1");
        Directory.CreateDirectory(Pages);
        foreach (string page in Directory.GetFiles(Path.Combine(RepositoryRoot.Path, "docs"), "*.md"))
        {
            File.Copy(page, Path.Combine(Pages, Path.GetFileName(page)));
        }

        string claims = Path.Combine(Pages, "results.md");
        Assert.Equal(1, Fill("--check", results));
        Assert.Equal(0, Fill(results));
        Assert.Equal(0, Fill("--check", results));
        string filled = File.ReadAllText(claims);
        Assert.Contains("| eggholder | `adam` |", filled, StringComparison.Ordinal);
        Assert.Contains("| `adam` | −1/2 |", filled, StringComparison.Ordinal);
        Assert.Contains("| rule | dimer | monkey |", filled, StringComparison.Ordinal);
        Assert.Contains("|  | reverse-exact | n/a |", filled, StringComparison.Ordinal);

        File.WriteAllText(claims, filled.Replace("| `adam` | −1/2 |", "| `adam` | −1/3 |", StringComparison.Ordinal));
        Assert.Equal(1, Fill("--check", results));

        void Make(string name, params string[] command) =>
            Assert.Equal(0, Shell.Run([.. command, "--out", Path.Combine(results, name)]).ExitCode);
    }

    /// <summary>A table that stands twice says the same in both places, and no table is left open.</summary>
    [Fact]
    public void Pages_agree_with_each_other()
    {
        (string Name, string Text)[] tables =
        [
            .. Directory.GetFiles(Path.Combine(RepositoryRoot.Path, "docs"), "*.md").SelectMany(static page =>
            {
                string text = File.ReadAllText(page);
                MatchCollection own = Table().Matches(text);
                Assert.Equal(Regex.Count(text, "<!-- (end of )?results"), 2 * own.Count);
                return own.Select(static match => (match.Groups["name"].Value, match.Groups["table"].Value));
            }),
        ];
        Assert.True(tables.Length >= 9, $"only {tables.Length} tables were found");
        Assert.All(tables, static table => Assert.Contains("---:", table.Text, StringComparison.Ordinal));
        Assert.All(
            tables.GroupBy(static table => table.Name), static same => Assert.Single(same.Select(static table => table.Text).Distinct()));
    }

    private int Fill(params string[] args)
    {
        string script = Path.Combine(RepositoryRoot.Path, "docs", "results", "fill.py");
        try
        {
            using Process python = Process.Start(
                new ProcessStartInfo("python3", [script, .. args, "--pages", Pages]) { Environment = { ["PYTHONUTF8"] = "1" } })!;
            python.WaitForExit();
            return python.ExitCode;
        }
        catch (Win32Exception)
        {
            throw new SkipException("There is no python3.");
        }
    }

    [GeneratedRegex("<!-- results: (?<name>[a-z-]+) -->\n(?<table>.*?)<!-- end of results -->", RegexOptions.Singleline)]
    private static partial Regex Table();
}
