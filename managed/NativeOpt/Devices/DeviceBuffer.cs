using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Memory of a device, owned: for hosts without an allocator of their own, and for tests.</summary>
/// <typeparam name="T">The element, any type without references.</typeparam>
/// <remarks>
/// The address is aligned to at least 64 bytes. Dispose frees the memory; on CUDA it waits for the device's work. A buffer
/// that nothing refers to any more is freed by the garbage collector: keep it (or the <see cref="ParameterSet"/> of
/// <see cref="ParameterSet.FromBuffers"/>) as long as its <see cref="Pointer"/> is in use. A buffer serves one thread at a
/// time.
/// </remarks>
public sealed unsafe class DeviceBuffer<T> : IDisposable
    where T : unmanaged
{
    private readonly MemoryHandle _memory;

    /// <summary>Allocates; all elements are zero.</summary>
    /// <param name="device">Where.</param>
    /// <param name="length">The number of elements, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is negative, or its bytes do not fit 63 bits.</exception>
    /// <exception cref="ArgumentException">The device does not exist.</exception>
    /// <exception cref="InsufficientMemoryException">The device's memory ran out.</exception>
    /// <exception cref="NativeOptException">The backend cannot be used; the message says why.</exception>
    public DeviceBuffer(Device device, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, (long.MaxValue / sizeof(T)) - sizeof(float));
        Device = device;
        Length = length;
        _memory = MemoryHandle.AllocateZeroed(device, length * sizeof(T));
    }

    /// <summary>Where the memory is.</summary>
    public Device Device { get; }

    /// <summary>The number of elements.</summary>
    public long Length { get; }

    /// <summary>The number of bytes.</summary>
    public long ByteLength => Length * sizeof(T);

    /// <summary>The address on the device; 0 if there are no elements.</summary>
    /// <exception cref="ObjectDisposedException">The buffer is disposed of.</exception>
    public nint Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(_memory.IsDisposed, this);
            return _memory.DangerousGetHandle();
        }
    }

    /// <summary>Overwrites all elements; <paramref name="source"/> may be changed on return.</summary>
    /// <param name="source">As many elements as the buffer has.</param>
    /// <param name="stream">The stream to queue the copy on and to wait for.</param>
    /// <exception cref="ArgumentException"><paramref name="source"/> has another length, or the stream is not the device's.</exception>
    /// <exception cref="ObjectDisposedException">The buffer or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void CopyFrom(ReadOnlySpan<T> source, DeviceStream stream = default)
    {
        RequireLength(source.Length, nameof(source));
        CopyFrom(source, 0, stream);
    }

    /// <summary>Overwrites a part of the elements; <paramref name="source"/> may be changed on return.</summary>
    /// <param name="source">The elements to write.</param>
    /// <param name="offset">The element to write first, from 0.</param>
    /// <param name="stream">The stream to queue the copy on and to wait for.</param>
    /// <exception cref="ArgumentOutOfRangeException">The elements do not lie within the buffer.</exception>
    /// <exception cref="ArgumentException">The stream is not the device's.</exception>
    /// <exception cref="ObjectDisposedException">The buffer or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void CopyFrom(ReadOnlySpan<T> source, long offset, DeviceStream stream = default)
    {
        RequireRange(offset, source.Length);
        using HandleLease lease = new(_memory, this);
        fixed (T* host = source)
        {
            DeviceMemory.CopyAndWait(Device, (T*)lease.Pointer + offset, host, source.Length * (long)sizeof(T), stream);
        }
    }

    /// <summary>Reads all elements; they are there on return.</summary>
    /// <param name="destination">Room for as many elements as the buffer has, no more and no fewer.</param>
    /// <param name="stream">The stream to queue the copy on and to wait for: that of the work whose result is wanted.</param>
    /// <exception cref="ArgumentException"><paramref name="destination"/> has another length, or the stream is not the device's.</exception>
    /// <exception cref="ObjectDisposedException">The buffer or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void CopyTo(Span<T> destination, DeviceStream stream = default)
    {
        RequireLength(destination.Length, nameof(destination));
        CopyTo(destination, 0, stream);
    }

    /// <summary>Reads a part of the elements; they are there on return.</summary>
    /// <param name="destination">Where to; its length is the number of elements.</param>
    /// <param name="offset">The element to read first, from 0.</param>
    /// <param name="stream">The stream to queue the copy on and to wait for: that of the work whose result is wanted.</param>
    /// <exception cref="ArgumentOutOfRangeException">The elements do not lie within the buffer.</exception>
    /// <exception cref="ArgumentException">The stream is not the device's.</exception>
    /// <exception cref="ObjectDisposedException">The buffer or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void CopyTo(Span<T> destination, long offset, DeviceStream stream = default)
    {
        RequireRange(offset, destination.Length);
        using HandleLease lease = new(_memory, this);
        fixed (T* host = destination)
        {
            DeviceMemory.CopyAndWait(
                Device, host, (T*)lease.Pointer + offset, destination.Length * (long)sizeof(T), stream);
        }
    }

    /// <summary>Sets all elements to one value.</summary>
    /// <param name="value">The value.</param>
    /// <param name="stream">The stream to queue the work on.</param>
    /// <exception cref="ArgumentException">The stream is not the device's.</exception>
    /// <exception cref="ObjectDisposedException">The buffer or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Fill(T value, DeviceStream stream = default)
    {
        if (value is float number)
        {
            using HandleLease lease = new(_memory, this);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_memory_fill(
                    Device.NativeBackend, Device.Index, (void*)lease.Pointer, Length, nopt_dtype.NOPT_DTYPE_FLOAT32,
                    number, (void*)stream.Pointer));
            stream.KeepAlive();
            return;
        }

        // The library has no such elements, or (of NaNs) others of their bits; these are copied, piece by piece.
        T[] piece = new T[Math.Min(Length, 1 << 16)];
        Array.Fill(piece, value);
        for (long offset = 0; offset < Length; offset += piece.Length)
        {
            CopyFrom(piece.AsSpan(0, (int)Math.Min(piece.Length, Length - offset)), offset, stream);
        }
    }

    /// <summary>The elements themselves, on the CPU. The span is valid until the buffer is disposed of.</summary>
    /// <returns>All elements.</returns>
    /// <exception cref="InvalidOperationException">
    /// The buffer is not on the CPU, or it has more elements than a span can; use <see cref="CopyTo(Span{T}, DeviceStream)"/>
    /// or <see cref="AsSpan(long, int)"/>.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The buffer is disposed of.</exception>
    public Span<T> AsSpan() =>
        Length <= int.MaxValue
            ? AsSpan(0, (int)Length)
            : throw new InvalidOperationException(
                $"The buffer has {Length} elements, more than a span can have; use AsSpan(start, length).");

    /// <summary>A part of the elements themselves, on the CPU. The span is valid until the buffer is disposed of.</summary>
    /// <param name="start">The first element, from 0.</param>
    /// <param name="length">The number of elements.</param>
    /// <returns>The elements.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The elements do not lie within the buffer.</exception>
    /// <exception cref="InvalidOperationException">The buffer is not on the CPU; use <see cref="CopyTo(Span{T}, long, DeviceStream)"/>.</exception>
    /// <exception cref="ObjectDisposedException">The buffer is disposed of.</exception>
    public Span<T> AsSpan(long start, int length)
    {
        RequireRange(start, length);
        return Device.Backend == Backend.Cpu
            ? new Span<T>((T*)Pointer + start, length)
            : throw new InvalidOperationException(
                $"The buffer is on {Device}, which the processor cannot read; use CopyTo and CopyFrom.");
    }

    /// <summary>Frees the memory. Further calls do nothing.</summary>
    public void Dispose() => _memory.Dispose();

    private void RequireLength(int length, string paramName)
    {
        if (length != Length)
        {
            throw new ArgumentException($"{paramName} has {length} elements, but the buffer has {Length}.", paramName);
        }
    }

    private void RequireRange(long offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - length);
    }
}
