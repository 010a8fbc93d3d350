using System.Runtime.InteropServices;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>
/// Calls of the C API. The selftest uses it in place of the C# API since it binds states, too: they lie between canaries and
/// at every alignment.
/// </summary>
internal static unsafe class NativeCall
{
    /// <exception cref="SelftestFault">The call failed.</exception>
    public static void Require(nopt_status status, string call)
    {
        if (status != nopt_status.NOPT_OK)
        {
            throw new SelftestFault($"{call}: {Marshal.PtrToStringUTF8((nint)NativeMethods.nopt_last_error_message())}");
        }
    }

    /// <summary>A native enum's value without its prefix: NOPT_DIMER_SCOPE_GLOBAL is global.</summary>
    public static string NameOf<T>(T value, string prefix)
        where T : struct, Enum => value.ToString().Replace(prefix, "", StringComparison.Ordinal).ToLowerInvariant();
}
