namespace NativeOpt.Cli.Commands;

/// <summary>What the process returns.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>The command ran, and something that it was to do or to check failed.</summary>
    public const int Failure = 1;

    /// <summary>The command line, or what it names, is wrong; nothing was done.</summary>
    public const int Usage = 2;

    /// <summary>Ended early on request (128 + SIGINT, as shells count).</summary>
    public const int Cancelled = 130;
}
