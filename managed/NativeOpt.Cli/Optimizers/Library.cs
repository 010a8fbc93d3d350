namespace NativeOpt.Cli.Optimizers;

/// <summary>
/// Help texts name what the library has. Where it cannot be loaded, help has to show all the same: the commands themselves
/// report why it cannot.
/// </summary>
internal static class Library
{
    /// <summary>What the library answers; nothing if it cannot be loaded.</summary>
    public static IReadOnlyList<T> Ask<T>(Func<IReadOnlyList<T>> ask)
    {
        try
        {
            return ask();
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            return [];
        }
    }

    /// <summary>The names that the library answers, separated by commas.</summary>
    public static string Names(Func<IReadOnlyList<string>> ask) =>
        Ask(ask) is { Count: > 0 } names ? string.Join(", ", names) : "(the native library cannot be loaded)";
}
