using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Turns a native status into the exception that <see cref="NativeOptException"/> documents.</summary>
internal static unsafe class NativeError
{
    public static void ThrowIfFailed(nopt_status status)
    {
        if (status != nopt_status.NOPT_OK)
        {
            Throw(status);
        }
    }

    /// <summary>The text of this thread's last failed call.</summary>
    public static string LastMessage => Text(NativeMethods.nopt_last_error_message());

    public static string Text(sbyte* utf8) => Marshal.PtrToStringUTF8((nint)utf8) ?? "";

    // Apart from ThrowIfFailed, so that the step path stays small.
    [DoesNotReturn]
    private static void Throw(nopt_status status)
    {
        string message = LastMessage;
        throw status switch
        {
            nopt_status.NOPT_ERROR_INVALID_ARGUMENT or nopt_status.NOPT_ERROR_OVERLAP => new ArgumentException(message),
            nopt_status.NOPT_ERROR_OUT_OF_MEMORY => new InsufficientMemoryException(message),
            nopt_status.NOPT_ERROR_UNSUPPORTED => new NotSupportedException(message),
            nopt_status.NOPT_ERROR_MISSING_ROLE or nopt_status.NOPT_ERROR_INVALID_STATE => new InvalidOperationException(message),
            nopt_status.NOPT_ERROR_BUSY => new ConcurrentUseException(message),
            _ => new NativeOptException((NativeOptStatus)status, message),
        };
    }
}
