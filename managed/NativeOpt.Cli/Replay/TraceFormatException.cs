namespace NativeOpt.Cli.Replay;

/// <summary>A file is no trace: the message says where and why.</summary>
internal sealed class TraceFormatException(string message) : Exception(message);
