using System.CommandLine;
using NativeOpt.Cli.Reports;
using NativeOpt.Cli.Runs;
using Spectre.Console;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt report</c>.</summary>
internal sealed class ReportCommand : Command, IHaveExamples
{
    private const string DefaultName = "report.html";

    private readonly Argument<string> _folder = new("folder")
    {
        Description = $"What a command has left with --out: {RunDocument.FileName}, and the files that it names.",
        HelpName = "DIR",
    };

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"The page's file. Default: {DefaultName} in the folder.",
        HelpName = "FILE",
    };

    public ReportCommand(TextWriter output, TextWriter error)
        : base(
            "report",
            "Make one HTML page of a run: results, pictures, configuration, seeds, versions and machine. The page needs nothing "
            + "else, runs no script and follows the reader's choice of a light or a dark screen. Files that it cannot take in, "
            + "such as a picture with a script, it names, and the exit code is 1. It takes a second.")
    {
        Add(_folder);
        Add(_out);
        SetAction(parsed => Run(parsed, new Terminal(output, error, json: false)));
    }

    public string Examples => """
        Examples:
          nativeopt landscape --out landscapes
          nativeopt report landscapes
          nativeopt report landscapes --out landscapes.html

        """;

    private int Run(ParseResult parsed, Terminal terminal)
    {
        string folder = parsed.GetValue(_folder)!;
        RunDocument run = RunDocument.Read(folder);
        string file = parsed.GetValue(_out) ?? Path.Combine(folder, DefaultName);
        if (Path.GetRelativePath(folder, file) is var name && (name == RunDocument.FileName || run.Files.Contains(name)))
        {
            throw new UsageException($"{_out.Name} {file}: it is a file of the run, which the page is made of; choose another name.");
        }

        OutputFiles.PrepareFile(_out.Name, file);

        ReportFiles files = ReportFiles.Read(folder, run);
        OutputFiles output = new();
        if (output.Write(file, Report.Of(run, files)))
        {
            terminal.People.WriteLine($"written to {file}");
        }

        output.ThrowIfLost();
        return files.Faults.Count == 0
            ? ExitCode.Success : throw new OutputFault(string.Join(Environment.NewLine, files.Faults));
    }
}
