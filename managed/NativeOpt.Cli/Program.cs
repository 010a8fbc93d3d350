using System.Runtime.InteropServices;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli;

/// <summary>The <c>nativeopt</c> command.</summary>
internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        // The first Ctrl-C (or SIGTERM) asks for an orderly end, the second one is left to the system, which kills.
        using var stop = new CancellationTokenSource();
        Console.CancelKeyPress += (_, press) => press.Cancel = TryStop();
        using PosixSignalRegistration terminate =
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => signal.Cancel = TryStop());
        return await RunAsync(args, Console.Out, Console.Error, stop.Token).ConfigureAwait(false);

        bool TryStop()
        {
            lock (stop)
            {
                bool isFirst = !stop.IsCancellationRequested;
                stop.Cancel();
                return isFirst;
            }
        }
    }

    /// <summary>Runs one command line, as the executable does.</summary>
    /// <param name="args">The arguments.</param>
    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="stop">Asks for an orderly end with what there is.</param>
    /// <returns>The exit code, an <see cref="ExitCode"/>.</returns>
    public static Task<int> RunAsync(
        string[] args, TextWriter output, TextWriter error, CancellationToken stop = default) =>
        new CommandLine(output, error).RunAsync(args, stop);
}
