namespace NativeOpt;

/// <summary>A failure that lies neither in an argument nor in the order of calls: the device's or the library's own.</summary>
/// <remarks>
/// How every failure of the native library arrives in .NET:
/// <list type="table">
/// <listheader><term>native status</term><description>exception</description></listheader>
/// <item><term>INVALID_ARGUMENT, OVERLAP</term><description><see cref="ArgumentException"/></description></item>
/// <item><term>OUT_OF_MEMORY</term><description><see cref="InsufficientMemoryException"/>, an <see cref="OutOfMemoryException"/></description></item>
/// <item><term>UNSUPPORTED</term><description><see cref="NotSupportedException"/></description></item>
/// <item><term>MISSING_ROLE, INVALID_STATE</term><description><see cref="InvalidOperationException"/></description></item>
/// <item><term>BUSY</term><description><see cref="ConcurrentUseException"/>, an <see cref="InvalidOperationException"/></description></item>
/// <item><term>UNAVAILABLE, DEVICE, INTERNAL</term><description><see cref="NativeOptException"/></description></item>
/// </list>
/// A native library that is missing or does not fit gives <see cref="DllNotFoundException"/> or
/// <see cref="BadImageFormatException"/>. Whatever is thrown for an argument or an order of calls, no parameter and no
/// state has changed.
/// </remarks>
public sealed class NativeOptException : Exception
{
    internal NativeOptException(NativeOptStatus status, string message)
        : base(message)
    {
        Status = status;
    }

    /// <summary>What failed.</summary>
    public NativeOptStatus Status { get; }
}

/// <summary>What a <see cref="NativeOptException"/> is about; the numbers are the native library's.</summary>
public enum NativeOptStatus
{
    /// <summary>The backend is not compiled in, has no driver, or the processor lacks what was asked for.</summary>
    Unavailable = 3,

    /// <summary>The device reported a fault, perhaps of earlier asynchronous work.</summary>
    Device = 8,

    /// <summary>A defect of the library itself.</summary>
    Internal = 9,
}
