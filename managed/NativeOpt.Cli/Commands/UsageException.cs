namespace NativeOpt.Cli.Commands;

/// <summary>What the user asked for cannot be done: the message names the option and the remedy.</summary>
internal sealed class UsageException(string message) : Exception(message);
