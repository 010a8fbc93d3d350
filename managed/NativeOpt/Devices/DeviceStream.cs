using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// An order of work on a device: a CUDA stream. The default value is the default stream, which is also the CPU's only one.
/// </summary>
/// <remarks>
/// On CUDA, work on one stream runs in the order in which it was queued, and calls return before it ran; work on distinct
/// streams is not ordered, except that the default stream and the streams of a host framework may wait for each other.
/// On CPU, work is finished when a call returns.
/// </remarks>
public readonly unsafe struct DeviceStream : IDisposable, IEquatable<DeviceStream>
{
    private readonly nint _pointer;
    private readonly StreamHandle? _owned;

    private DeviceStream(nint pointer, StreamHandle? owned)
    {
        _pointer = pointer;
        _owned = owned;
    }

    /// <summary>The default stream: CUDA's legacy default stream, or the CPU.</summary>
    public static DeviceStream Default => default;

    /// <summary>CUDA's default stream of the calling thread. Not for the CPU.</summary>
    public static DeviceStream PerThread => new((nint)NativeMethods.NOPT_STREAM_PER_THREAD, null);

    /// <summary>The <c>cudaStream_t</c>; null is the default stream.</summary>
    /// <exception cref="ObjectDisposedException">The stream came from <see cref="Create"/> and is disposed of.</exception>
    public nint Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(_owned is { IsDisposed: true }, typeof(DeviceStream));
            return _pointer;
        }
    }

    /// <summary>A stream of the host's: its <c>cudaStream_t</c> (or <c>CUstream</c>) as an address.</summary>
    /// <param name="pointer">The stream. It stays the host's, and must exist as long as it is used.</param>
    /// <returns>The stream, not owned; disposing of it does nothing.</returns>
    public static DeviceStream FromPointer(nint pointer) => new(pointer, null);

    /// <summary>Makes a new stream, which does not wait for the default stream. Dispose of it after use.</summary>
    /// <param name="device">Where. The CPU gives its default stream.</param>
    /// <returns>The stream, owned; copies of this value are the same stream.</returns>
    /// <exception cref="ArgumentException">The device does not exist.</exception>
    /// <exception cref="NativeOptException">The backend cannot be used, or the device failed.</exception>
    public static DeviceStream Create(Device device)
    {
        StreamHandle owned = new(device);
        return new DeviceStream(owned.DangerousGetHandle(), owned);
    }

    /// <summary>Waits until all work queued on the stream has finished, and reports its faults.</summary>
    /// <param name="device">The device that the stream belongs to.</param>
    /// <exception cref="ArgumentException">The device does not exist, or it is the CPU and this is no default stream.</exception>
    /// <exception cref="ObjectDisposedException">The stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Synchronize(Device device)
    {
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_stream_synchronize(device.NativeBackend, device.Index, (void*)Pointer));
        KeepAlive();
    }

    /// <summary>Destroys a stream of <see cref="Create"/>, after the work that is queued on it; does nothing to others.</summary>
    public void Dispose() => _owned?.Dispose();

    /// <summary>Whether both are the same stream.</summary>
    /// <param name="other">The other one.</param>
    /// <returns>True if they are.</returns>
    public bool Equals(DeviceStream other) => _pointer == other._pointer && _owned == other._owned;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is DeviceStream other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _pointer.GetHashCode();

    /// <summary>Whether both are the same stream.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    /// <returns>True if they are.</returns>
    public static bool operator ==(DeviceStream left, DeviceStream right) => left.Equals(right);

    /// <summary>Whether both are different streams.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    /// <returns>True if they are.</returns>
    public static bool operator !=(DeviceStream left, DeviceStream right) => !left.Equals(right);

    /// <summary>Call it after the last use of <see cref="Pointer"/>: the stream is not finalized before.</summary>
    internal void KeepAlive() => GC.KeepAlive(_owned);
}
