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

    private readonly TextWriter _output;
    private readonly TextWriter _error;
    private readonly Command _root;

    public CommandLine(TextWriter output, TextWriter error)
    {
        (_output, _error) = (output, error);
        Option<bool> version = new("--version") { Description = "Show the version.", Action = new VersionAction() };
        _root = new Command("nativeopt", "Fused optimizer steps for .NET trainers.")
        {
            new BenchCommand(output, error),
            new InfoCommand(output, error),
            new ReplayCommand(output, error),
            new SaddleCommand(output, error),
            new SelftestCommand(output, error),
            new TrainCommand(output, error),
            version,
            new HelpOption(),
        };
        HelpOption help = _root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
    }

    /// <summary>The version of this program.</summary>
    public static string Version =>
        typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>Runs one command line; never throws for what a user can do wrong.</summary>
    public async Task<int> RunAsync(string[] args, CancellationToken stop)
    {
        try
        {
            ParseResult parsed = _root.Parse(args.Length > 0 ? args : ["--help"]);
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
            _error.WriteLine($"error: {(isDebug ? exception : exception.Message)}");
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
            _error.WriteLine($"error: unknown {kind} {first}{Suggestion.For(first, known)}");
        }
        else
        {
            foreach (ParseError error in parsed.Errors)
            {
                _error.WriteLine($"error: {error.Message}");
            }
        }

        _error.WriteLine($"See nativeopt {(command == _root ? "" : command.Name + " ")}--help.");
        return ExitCode.Usage;
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
