using System.CommandLine;
using System.Globalization;
using NativeOpt.Cli.Replay;
using Spectre.Console;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt replay</c>.</summary>
internal sealed class ReplayCommand : Command, IHaveExamples
{
    // A bar for a few milliseconds would only flicker.
    private const int FilesWorthABar = 8;

    private readonly Argument<string[]> _paths = new("PATH")
    {
        Description = "Trace files, or folders of them (*.json).",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<Device> _device = CommonOptions.Device();

    private readonly Option<bool> _skip = new("--skip-unsupported")
    {
        Description = "Do not fail for a rule or an option that NativeOpt does not have. Broken files still fail.",
    };

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public ReplayCommand(TextWriter output, TextWriter error)
        : base(
            "replay",
            "Replay optimizer traces and compare the parameters after every step. The worst ratio is the largest "
            + "|error| / tolerance; the exit code is 0 if it is at most 1 everywhere.")
    {
        Add(_paths);

        // An argument that takes any number of words takes mistyped options, too.
        _paths.Validators.Add(result =>
        {
            foreach (string word in result.Tokens.Select(static token => token.Value))
            {
                if (word.StartsWith('-') && !Path.Exists(word))
                {
                    result.AddError(
                        $"unknown option {word}{Suggestion.For(word, Options.Select(static option => option.Name))}");
                }
            }
        });
        Add(_device);
        Add(_skip);
        Add(_json);
        SetAction((parsed, stop) => Task.FromResult(
            Run(parsed, new Terminal(output, error, parsed.GetValue(_json)), stop)));
    }

    public string Examples => """
        Examples:
          nativeopt replay tests/traces
          nativeopt replay adam.json dualadam.json --device cuda
          nativeopt replay traces --skip-unsupported --json

        docs/trace-format.md describes the files.

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        string[] files = [.. parsed.GetValue(_paths)!.SelectMany(Files)];
        Device device = parsed.GetValue(_device);
        CommonOptions.Require(device);

        bool skip = parsed.GetValue(_skip);
        List<ReplayResult> results = [];
        if (terminal.IsInteractive && files.Length >= FilesWorthABar)
        {
            terminal.People.Progress().AutoClear(true).Start(context =>
            {
                ProgressTask task = context.AddTask("replaying", maxValue: files.Length);
                ReplayAll(() => task.Increment(1));
            });
        }
        else
        {
            ReplayAll(static () => { });
        }

        if (terminal.IsJson)
        {
            terminal.WriteJson(results);
        }
        else
        {
            WriteTable(terminal.People, results);
        }

        return stop.IsCancellationRequested ? ExitCode.Cancelled
            : results.TrueForAll(static result => result.Passed || result.Skipped) ? ExitCode.Success
            : ExitCode.Failure;

        void ReplayAll(Action afterEach)
        {
            foreach (string file in files)
            {
                if (stop.IsCancellationRequested)
                {
                    return;
                }

                results.Add(Replay(file, device, skip));
                afterEach();
            }
        }
    }

    private static IEnumerable<string> Files(string path)
    {
        if (!Directory.Exists(path))
        {
            return File.Exists(path) ? [path] : throw new UsageException($"{path}: no such file or folder.");
        }

        string[] files = Directory.GetFiles(path, "*.json");
        Array.Sort(files, StringComparer.Ordinal);
        return files.Length > 0 ? files : throw new UsageException($"{path}: there is no *.json file in this folder.");
    }

    private static ReplayResult Replay(string file, Device device, bool skip)
    {
        string? rule = null;
        try
        {
            Trace trace = TraceReader.Read(file);
            rule = trace.Optimizer.Preset.Name;
            WorstRatio worst = TraceReplayer.Replay(trace, device);
            bool passed = worst.Value <= 1;
            return new ReplayResult(file, rule, worst.Value, passed, Skipped: false, passed ? null : worst.Place);
        }
        catch (UnsupportedTraceException unsupported)
        {
            return new ReplayResult(
                file, unsupported.Rule, null, Passed: false, Skipped: skip, $"unsupported: {unsupported.Message}");
        }
        catch (TraceFormatException broken)
        {
            return new ReplayResult(file, rule, null, Passed: false, Skipped: false, $"broken: {broken.Message}");
        }
    }

    private static void WriteTable(IAnsiConsole console, List<ReplayResult> results)
    {
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns(
                new TableColumn("trace").NoWrap(),
                new TableColumn("rule"),
                new TableColumn("worst\nratio").RightAligned(),
                new TableColumn("result"),
                new TableColumn("reason"));
        foreach (ReplayResult result in results)
        {
            string color = result.Passed ? "green" : result.Skipped ? "grey" : "red";
            table.AddRow(
                new Text(Printable.Of(Path.GetFileName(result.File))),
                new Text(result.Rule ?? ""),
                new Text(result.WorstRatio?.ToString("0.0000", CultureInfo.InvariantCulture) ?? ""),
                new Markup($"[{color}]{(result.Passed ? "passed" : result.Skipped ? "skipped" : "FAILED")}[/]"),
                new Text(result.Reason ?? ""));
        }

        console.Write(table);
        int passed = results.Count(static result => result.Passed);
        int skipped = results.Count(static result => result.Skipped);
        console.WriteLine($"{passed} passed, {results.Count - passed - skipped} failed, {skipped} skipped");
    }

    /// <summary>One line of the result; the JSON document has these members.</summary>
    private sealed record ReplayResult(
        string File, string? Rule, double? WorstRatio, bool Passed, bool Skipped, string? Reason);
}
