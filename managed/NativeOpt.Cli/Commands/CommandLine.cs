using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using System.Reflection;

namespace NativeOpt.Cli.Commands;

/// <summary>All commands, and what becomes of their errors.</summary>
internal sealed class CommandLine
{
    private const string DebugVariable = "NATIVEOPT_DEBUG";

    // In fewer columns the help cannot be laid out: its writer prints without end, or hangs.
    private const int MinHelpWidth = 40;

    private static readonly ParserConfiguration _parsing = new()
    {
        ResponseFileTokenReplacer = null, // @ may begin the name of a file
    };

    private readonly TextWriter _output;
    private readonly TextWriter _error;
    private readonly Command _root;
    private string[] _words = []; // of the command line

    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="width">The columns that the help may take; null: those of the console.</param>
    public CommandLine(TextWriter output, TextWriter error, int? width = null)
    {
        (_output, _error) = (output, error);
        Option<bool> version = new("--version") { Description = "Show the version.", Action = new VersionAction() };
        _root = new Command("nativeopt", "Fused optimizer steps for .NET trainers.")
        {
            new BenchCommand(output, error),
            new ClassifyCommand(output, error),
            new DeoCommand(output, error),
            new FinetuneCommand(output, error),
            new HessianCommand(output, error),
            new InfoCommand(output, error),
            new LandscapeCommand(output, error),
            new ReplayCommand(output, error),
            new ReportCommand(output, error),
            new SaddleCommand(output, error),
            new SelftestCommand(output, error),
            new TrainCommand(output, error),
            version,
            new HelpOption(),
        };
        HelpOption help = _root.Options.OfType<HelpOption>().Single();
        var action = (HelpAction)help.Action!;
        action.MaxWidth = Math.Max(width ?? action.MaxWidth, MinHelpWidth);
        help.Action = new HelpWithExamples(action);
    }

    /// <summary>The version of this program.</summary>
    public static string Version =>
        typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>The words that commands are called by.</summary>
    public IEnumerable<string> CommandNames => _root.Subcommands.Select(static command => command.Name);

    /// <summary>Runs one command line; never throws for what a user can do wrong.</summary>
    public async Task<int> RunAsync(string[] args, CancellationToken stop)
    {
        _words = args;
        try
        {
            ParseResult parsed = _root.Parse(args.Length > 0 ? args : ["--help"], _parsing);
            if (parsed.Action is ParseErrorAction)
            {
                return Refuse(parsed);
            }

            var configuration = new InvocationConfiguration
            {
                Output = _output,
                Error = _error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null, // Program handles signals
            };
            int code = await parsed.InvokeAsync(configuration, stop).ConfigureAwait(false);
            return args.Length > 0 ? code : ExitCode.Usage;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return ExitCode.Cancelled;
        }
        catch (Exception exception)
        {
            bool isDebug = Environment.GetEnvironmentVariable(DebugVariable) is "1";
            WriteError(isDebug ? exception.ToString() : exception.Message);
            return exception is UsageException ? ExitCode.Usage : ExitCode.Failure;
        }
    }

    private int Refuse(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        if (parsed.UnmatchedTokens is [string first, ..])
        {
            IEnumerable<string> known = command.Options.Concat(_root.Options).Select(static option => option.Name)
                .Concat(command.Subcommands.Select(static subcommand => subcommand.Name));
            string kind = first.StartsWith('-') ? "option" : "command or argument";
            WriteError($"unknown {kind} {first}{Suggestion.For(first, known)}");
        }
        else
        {
            foreach (ParseError error in parsed.Errors)
            {
                WriteError(error.Message);
            }
        }

        _error.WriteLine($"See {PathOf(parsed.CommandResult)} --help.");
        return ExitCode.Usage;
    }

    /// <summary>A command's name, after those that it belongs to.</summary>
    public static string PathOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{PathOf(parent)} {result.Command.Name}" : result.Command.Name;

    // Messages have names of files and words of the command line. Line ends are the program's own, and none of a word's.
    private void WriteError(string message)
    {
        foreach (string word in _words.Where(static word => word.AsSpan().IndexOfAny('\r', '\n') >= 0))
        {
            message = message.Replace(word, Printable.Of(word), StringComparison.Ordinal);
        }

        string[] lines = message.ReplaceLineEndings("\n").Split('\n');
        _error.WriteLine("error: " + string.Join(Environment.NewLine, lines.Select(static line => Printable.Of(line))));
    }

    private sealed class VersionAction : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            parseResult.InvocationConfiguration.Output.WriteLine($"nativeopt {Version}");
            return ExitCode.Success;
        }
    }

    private sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => help.ClearsParseErrors;

        public override int Invoke(ParseResult parseResult)
        {
            int result = help.Invoke(parseResult);
            string? examples = (parseResult.CommandResult.Command as IHaveExamples)?.Examples;
            parseResult.InvocationConfiguration.Output.Write(examples ?? "");
            return result;
        }
    }
}
