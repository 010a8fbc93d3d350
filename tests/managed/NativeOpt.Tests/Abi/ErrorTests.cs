using NativeOpt.Interop;
using Xunit;

namespace NativeOpt.Tests.Abi;

/// <summary>Every native status has the exception that NativeOptException documents.</summary>
public class ErrorTests
{
    private static readonly Dictionary<nopt_status, Type> Documented = new()
    {
        [nopt_status.NOPT_ERROR_INVALID_ARGUMENT] = typeof(ArgumentException),
        [nopt_status.NOPT_ERROR_OVERLAP] = typeof(ArgumentException),
        [nopt_status.NOPT_ERROR_OUT_OF_MEMORY] = typeof(InsufficientMemoryException),
        [nopt_status.NOPT_ERROR_UNSUPPORTED] = typeof(NotSupportedException),
        [nopt_status.NOPT_ERROR_MISSING_ROLE] = typeof(InvalidOperationException),
        [nopt_status.NOPT_ERROR_INVALID_STATE] = typeof(InvalidOperationException),
        [nopt_status.NOPT_ERROR_BUSY] = typeof(ConcurrentUseException),
        [nopt_status.NOPT_ERROR_UNAVAILABLE] = typeof(NativeOptException),
        [nopt_status.NOPT_ERROR_DEVICE] = typeof(NativeOptException),
        [nopt_status.NOPT_ERROR_INTERNAL] = typeof(NativeOptException),
    };

    [Fact]
    public void Every_status_has_its_exception()
    {
        Assert.Equal(Enum.GetValues<nopt_status>().Except([nopt_status.NOPT_OK]).Order(), Documented.Keys.Order());
        NativeError.ThrowIfFailed(nopt_status.NOPT_OK);
        foreach ((nopt_status status, Type type) in Documented)
        {
            Exception exception = Assert.Throws(type, () => NativeError.ThrowIfFailed(status));
            if (exception is NativeOptException own)
            {
                Assert.Equal((int)status, (int)own.Status);
                Assert.True(Enum.IsDefined(own.Status));
            }
        }
    }

    /// <summary>The text is the failed call's, not a general one.</summary>
    [Fact]
    public void The_message_is_the_native_one()
    {
        ArgumentException exception = Assert.Throws<ArgumentException>(() => NativeRuntime.CpuThreads = -3);
        Assert.Contains("-3", exception.Message, StringComparison.Ordinal);
        Assert.Equal(exception.Message, NativeError.LastMessage);
    }
}
