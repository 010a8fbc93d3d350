namespace NativeOpt.Cli.Replay;

/// <summary>A trace is well-formed, but asks for what NativeOpt does not do: the message says what.</summary>
internal sealed class UnsupportedTraceException(string message) : Exception(message);
