namespace NativeOpt.Cli.Commands;

/// <summary>Results could not be written to files: the message names these.</summary>
internal sealed class OutputFault(string message) : Exception(message);
