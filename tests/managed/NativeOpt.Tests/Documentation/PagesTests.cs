using System.Text.RegularExpressions;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Documentation;

/// <summary>
/// Holds the pages of the documentation against the sources: a code block stands, line by line, in a source that is compiled and,
/// where it can be, run; and the page of errors has every error.
/// </summary>
public partial class PagesTests
{
    /// <summary>Where the sources of a language are, with what their names end in.</summary>
    private static readonly Dictionary<string, (string Folder, string Pattern)[]> Sources = new()
    {
        ["csharp"] = [("tests/managed", "*.cs"), ("samples", "*.cs")],
        ["c"] = [("samples/c", "*.c"), ("tests/native", "*.c"), ("tests/cuda", "*.cpp")],
        ["python"] = [("samples/python", "*.py")],
    };

    /// <summary>Blocks that something else takes from the pages and runs, or that cannot be compiled, by language and page.</summary>
    private static readonly Dictionary<string, string> Elsewhere = new()
    {
        ["csharp packaging/readme/NativeOpt.md"] = "tests/packages/feed.sh runs it",
        ["csharp packaging/readme/NativeOpt.TorchSharp.md"] = "tests/packages/feed.sh runs it",
        ["csharp packaging/readme/NativeOpt.ManagedCuda.md"] = "ManagedCuda is no dependency of the tests",
        ["python docs/torch.md"] = "TorchStateTests runs them",
    };

    [Fact]
    public void Code_blocks_stand_in_sources_that_are_compiled()
    {
        Dictionary<string, string[]> sources = Sources.ToDictionary(
            static pair => pair.Key,
            static pair => pair.Value.SelectMany(
                static source => Directory.EnumerateFiles(InRoot(source.Folder), source.Pattern, SearchOption.AllDirectories))
                .Select(static file => Normalize(File.ReadLines(file)))
                .ToArray());
        List<string> missing = [];
        int checkedBlocks = 0;
        foreach (string page in Pages())
        {
            foreach (Match match in CodeBlock().Matches(File.ReadAllText(InRoot(page))))
            {
                string language = match.Groups["language"].Value;
                if (!sources.TryGetValue(language, out string[]? texts) || Elsewhere.ContainsKey($"{language} {page}"))
                {
                    continue;
                }

                checkedBlocks++;
                string block = Normalize(match.Groups["code"].Value.Split('\n'));
                if (!texts.Any(text => text.Contains(block, StringComparison.Ordinal)))
                {
                    missing.Add($"{page}: {block.Trim().Split('\n')[0]}");
                }
            }
        }

        Assert.Empty(missing);
        Assert.True(checkedBlocks >= 20, $"only {checkedBlocks} blocks were found");
    }

    [Fact]
    public void Languages_of_code_blocks_are_known()
    {
        string[] known = ["", "csharp", "c", "python", "json", "cmake"];
        Assert.All(
            Pages(),
            page => Assert.All(
                CodeBlock().Matches(File.ReadAllText(InRoot(page))), match => Assert.Contains(match.Groups["language"].Value, known)));
    }

    [Fact]
    public void The_page_of_errors_has_every_status_of_the_header()
    {
        string header = File.ReadAllText(InRoot("native/include/nativeopt/nativeopt.h"));
        string[] declared =
            [.. Status().Matches(header).Select(static match => $"{match.Groups["number"].Value} {match.Groups["name"].Value}")];
        string[] documented =
        [
            .. StatusRow().Matches(File.ReadAllText(InRoot("docs/troubleshooting.md")))
                .Select(static match => $"{match.Groups["number"].Value} {match.Groups["name"].Value}"),
        ];
        Assert.True(declared.Length >= 11, $"only {declared.Length} were found in the header");
        Assert.Equal(declared, documented);
    }

    [Fact]
    public void The_page_of_errors_has_every_numbered_error()
    {
        (string Folder, string Pattern)[] sources =
        [
            ("bindings", "*.cs"), ("bindings", "*.targets"), ("managed", "*.cs"), ("cmake", "*.cmake"), ("native", "*.proj"),
            ("packaging", "*.props"),
        ];
        string[] raised =
        [
            .. sources
                .SelectMany(static source => Directory.EnumerateFiles(InRoot(source.Folder), source.Pattern, SearchOption.AllDirectories))
                .SelectMany(static file => Number().Matches(File.ReadAllText(file)))
                .Select(static match => match.Value)
                .Distinct()
                .Order(StringComparer.Ordinal),
        ];
        string[] documented =
        [
            .. Heading().Matches(File.ReadAllText(InRoot("docs/troubleshooting.md")))
                .Select(static match => match.Groups["number"].Value)
                .Order(StringComparer.Ordinal),
        ];
        Assert.True(raised.Length >= 7, $"only {raised.Length} were found in the sources");
        Assert.Equal(raised, documented);
    }

    private static IEnumerable<string> Pages() => ["README.md", .. PagesIn("docs"), .. PagesIn("packaging/readme")];

    private static IEnumerable<string> PagesIn(string folder) =>
        Directory.EnumerateFiles(InRoot(folder), "*.md").Select(file => $"{folder}/{Path.GetFileName(file)}");

    private static string InRoot(string path) => Path.Combine(RepositoryRoot.Path, path);

    /// <summary>Lines without their indentation, without empty ones, and without the C# namespaces that a file begins with.</summary>
    private static string Normalize(IEnumerable<string> lines) =>
        "\n" + string.Join('\n', lines.Select(static line => line.Trim()).Where(static line => line != "" && !Using().IsMatch(line))) + "\n";

    [GeneratedRegex("^```(?<language>[^\n]*)\n(?<code>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CodeBlock();

    [GeneratedRegex("^using (static )?[A-Za-z.]+;$")]
    private static partial Regex Using();

    [GeneratedRegex(@"^    (?<name>NOPT_(OK|ERROR_[A-Z_]+)) = (?<number>\d+)", RegexOptions.Multiline)]
    private static partial Regex Status();

    [GeneratedRegex(@"^\| (?<number>\d+) \| `(?<name>NOPT_[A-Z_]+)` \|", RegexOptions.Multiline)]
    private static partial Regex StatusRow();

    [GeneratedRegex(@"NOPT[0-9]{4}\b")]
    private static partial Regex Number();

    [GeneratedRegex("^### (?<number>NOPT[0-9]{4}): ", RegexOptions.Multiline)]
    private static partial Regex Heading();
}
