namespace NativeOpt.Cli.Replay;

/// <summary>A trace is well-formed, but asks for what NativeOpt does not do: the message says what.</summary>
/// <param name="rule">The trace's rule.</param>
/// <param name="message">What it asks for.</param>
internal sealed class UnsupportedTraceException(string rule, string message) : Exception(message)
{
    /// <summary>The trace's rule.</summary>
    public string Rule => rule;
}
