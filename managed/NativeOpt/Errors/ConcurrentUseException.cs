namespace NativeOpt;

/// <summary>
/// A <see cref="ParameterSet"/>, or the optimizer over it, was used from two threads at once. Nothing was changed by the
/// call that threw. Distinct sets may be used from distinct threads.
/// </summary>
public sealed class ConcurrentUseException : InvalidOperationException
{
    internal ConcurrentUseException(string message)
        : base(message)
    {
    }
}
