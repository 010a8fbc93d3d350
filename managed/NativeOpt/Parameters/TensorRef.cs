using System.Buffers;

namespace NativeOpt;

/// <summary>A tensor of the host's: where its elements are. It owns nothing and keeps nothing alive.</summary>
/// <param name="Pointer">
/// The address of the first element, aligned to the element; may be 0 if there are none. The elements follow each other
/// without gaps, in whatever order of dimensions; parameter, gradient and state of a tensor are in the same order.
/// </param>
/// <param name="ElementCount">The number of elements, 0 or more.</param>
/// <param name="DType">The element type.</param>
/// <param name="Device">Where the memory is.</param>
public readonly record struct TensorRef(nint Pointer, long ElementCount, DType DType, Device Device)
{
    // Elements that are converted at a time: little memory, and few waits for the device. Whole blocks of Dynamic8.
    internal const int MaxPieceLength = 1 << 20;

    /// <summary>A float32 tensor at an address.</summary>
    /// <param name="pointer">The address of the first element.</param>
    /// <param name="elementCount">The number of elements.</param>
    /// <param name="device">Where the memory is; the CPU if left out.</param>
    /// <returns>The tensor.</returns>
    public static TensorRef FromPointer(nint pointer, long elementCount, Device device = default) =>
        new(pointer, elementCount, DType.Float32, device);

    /// <summary>A tensor of any element type at an address.</summary>
    /// <param name="pointer">The address of the first element.</param>
    /// <param name="elementCount">The number of elements.</param>
    /// <param name="dtype">The element type.</param>
    /// <param name="device">Where the memory is; the CPU if left out.</param>
    /// <returns>The tensor.</returns>
    public static TensorRef FromPointer(nint pointer, long elementCount, DType dtype, Device device = default) =>
        new(pointer, elementCount, dtype, device);

    /// <summary>A tensor of float32 or float16 at an address, by the type that .NET holds an element as.</summary>
    /// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
    /// <param name="pointer">The address of the first element.</param>
    /// <param name="elementCount">The number of elements.</param>
    /// <param name="device">Where the memory is; the CPU if left out.</param>
    /// <returns>The tensor.</returns>
    /// <exception cref="NotSupportedException">No element type follows from T; see <see cref="DTypes.Of{T}"/>.</exception>
    public static TensorRef FromPointer<T>(nint pointer, long elementCount, Device device = default)
        where T : unmanaged => new(pointer, elementCount, DTypes.Of<T>(), device);

    /// <summary>A tensor at an address whose elements .NET holds as a type that does not say what their bits are.</summary>
    /// <typeparam name="T">Any type of as many bytes as an element has, such as <see cref="ushort"/>.</typeparam>
    /// <param name="pointer">The address of the first element.</param>
    /// <param name="elementCount">The number of elements.</param>
    /// <param name="dtype">What the bits are: <see cref="DType.BFloat16"/>, for one.</param>
    /// <param name="device">Where the memory is; the CPU if left out.</param>
    /// <returns>The tensor.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> has elements of another size.</exception>
    public static unsafe TensorRef FromPointer<T>(nint pointer, long elementCount, DType dtype, Device device = default)
        where T : unmanaged =>
        dtype.ByteCount(1) == sizeof(T)
            ? new(pointer, elementCount, dtype, device)
            : throw new ArgumentOutOfRangeException(
                nameof(dtype), dtype,
                $"dtype is {dtype}; it must be a type whose elements have {sizeof(T)} bytes, as those of {typeof(T)} have.");

    /// <summary>A buffer as a tensor. Keep the buffer as long as the tensor is used.</summary>
    /// <param name="buffer">The buffer.</param>
    /// <returns>The tensor.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="buffer"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The buffer is disposed of.</exception>
    public static TensorRef FromDeviceBuffer(DeviceBuffer<float> buffer)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return FromPointer(buffer.Pointer, buffer.Length, buffer.Device);
    }

    /// <summary>A buffer as a float16 tensor. Keep the buffer as long as the tensor is used.</summary>
    /// <inheritdoc cref="FromDeviceBuffer(DeviceBuffer{float})"/>
    public static TensorRef FromDeviceBuffer(DeviceBuffer<Half> buffer)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return FromPointer(buffer.Pointer, buffer.Length, DType.Float16, buffer.Device);
    }

    /// <summary>A buffer of elements of 16 bits as a tensor. Keep the buffer as long as the tensor is used.</summary>
    /// <param name="buffer">The buffer.</param>
    /// <param name="dtype">What the bits are: <see cref="DType.BFloat16"/>, for one.</param>
    /// <returns>The tensor.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="buffer"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> has not 16 bits.</exception>
    /// <exception cref="ObjectDisposedException">The buffer is disposed of.</exception>
    public static TensorRef FromDeviceBuffer(DeviceBuffer<ushort> buffer, DType dtype)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return FromPointer<ushort>(buffer.Pointer, buffer.Length, dtype, buffer.Device);
    }

    /// <summary>A buffer as a tensor; see <see cref="FromDeviceBuffer(DeviceBuffer{float})"/>.</summary>
    /// <param name="buffer">The buffer.</param>
    public static implicit operator TensorRef(DeviceBuffer<float> buffer) => FromDeviceBuffer(buffer);

    /// <summary>A buffer as a tensor; see <see cref="FromDeviceBuffer(DeviceBuffer{Half})"/>.</summary>
    /// <param name="buffer">The buffer.</param>
    public static implicit operator TensorRef(DeviceBuffer<Half> buffer) => FromDeviceBuffer(buffer);

    /// <summary>
    /// Copies the elements to host memory, in stream order, and waits for it. Elements of 16 bits become the same numbers in
    /// float32.
    /// </summary>
    /// <param name="destination">As many elements as the tensor has.</param>
    /// <param name="stream">The stream of the work that writes the tensor; the default one if left out.</param>
    /// <exception cref="ArgumentException">The lengths differ, or the stream does not fit the device.</exception>
    /// <exception cref="NotSupportedException">
    /// The elements are no numbers by themselves: remainders, or <see cref="DType.Dynamic8"/>, whose numbers depend on the
    /// state (<see cref="Optimizer.CopyStateTo"/>).
    /// </exception>
    /// <exception cref="ObjectDisposedException">The stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public unsafe void CopyTo(Span<float> destination, DeviceStream stream = default)
    {
        if (DType == DType.Dynamic8)
        {
            throw new NotSupportedException(
                $"The tensor has element type {DType}, whose numbers depend on the state; use Optimizer.CopyStateTo, or "
                + "CopyBytesTo for the bytes.");
        }

        if (!DType.IsNumber())
        {
            throw BufferLayout.NotANumber(DType, "The tensor");
        }

        RequireLength(destination.Length, nameof(destination));
        if (DType == DType.Float32)
        {
            fixed (float* host = destination)
            {
                DeviceMemory.CopyAndWait(Device, host, (void*)Pointer, ElementCount * sizeof(float), stream);
            }

            return;
        }

        int pieceLength = Math.Min(destination.Length, MaxPieceLength);
        ushort[] piece = ArrayPool<ushort>.Shared.Rent(pieceLength);
        try
        {
            for (int done = 0; done < destination.Length; done += pieceLength)
            {
                Span<float> part = destination.Slice(done, Math.Min(pieceLength, destination.Length - done));
                Slice(done, part.Length).CopyBitsTo(piece.AsSpan(0, part.Length), stream);
                HalfPrecision.ToSingle(DType, piece.AsSpan(0, part.Length), part);
            }
        }
        finally
        {
            ArrayPool<ushort>.Shared.Return(piece);
        }
    }

    /// <summary>Copies the bits of elements of 16 bits to host memory, in stream order, and waits for it.</summary>
    /// <param name="destination">As many elements as the tensor has.</param>
    /// <param name="stream">The stream of the work that writes the tensor; the default one if left out.</param>
    /// <exception cref="ArgumentException">The lengths differ, or the stream does not fit the device.</exception>
    /// <exception cref="NotSupportedException">The elements have not 16 bits.</exception>
    /// <exception cref="ObjectDisposedException">The stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public unsafe void CopyBitsTo(Span<ushort> destination, DeviceStream stream = default)
    {
        if (DType is not (DType.BFloat16 or DType.Float16 or DType.UInt16))
        {
            throw new NotSupportedException($"The tensor has element type {DType}; only elements of 16 bits are copied.");
        }

        RequireLength(destination.Length, nameof(destination));
        fixed (ushort* host = destination)
        {
            DeviceMemory.CopyAndWait(Device, host, (void*)Pointer, ElementCount * sizeof(ushort), stream);
        }
    }

    /// <summary>Copies the bytes of a tensor of any type to host memory, in stream order, and waits for it.</summary>
    /// <param name="destination">As many bytes as the tensor has: <see cref="DTypes.ByteCount(DType, long)"/>.</param>
    /// <param name="stream">The stream of the work that writes the tensor; the default one if left out.</param>
    /// <exception cref="ArgumentException">The lengths differ, or the stream does not fit the device.</exception>
    /// <exception cref="ObjectDisposedException">The stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public unsafe void CopyBytesTo(Span<byte> destination, DeviceStream stream = default)
    {
        if (destination.Length != ByteCount)
        {
            throw new ArgumentException(
                $"{nameof(destination)} has {destination.Length} bytes, but the tensor has {ByteCount}.", nameof(destination));
        }

        fixed (byte* host = destination)
        {
            DeviceMemory.CopyAndWait(Device, host, (void*)Pointer, ByteCount, stream);
        }
    }

    /// <summary>The bytes of all elements.</summary>
    internal long ByteCount => DType.ByteCount(ElementCount);

    /// <summary>A part of the elements; of Dynamic8 it must begin where a block does.</summary>
    internal TensorRef Slice(long start, long count) =>
        this with { Pointer = Pointer + (nint)DType.ByteCount(start), ElementCount = count };

    /// <summary>Does what <see cref="CopyTo(Span{float}, DeviceStream)"/> does for a state, which also may be of Dynamic8.</summary>
    internal void CopyTo(Span<float> destination, bool isSigned, DeviceStream stream)
    {
        if (DType != DType.Dynamic8)
        {
            CopyTo(destination, stream);
            return;
        }

        RequireLength(destination.Length, nameof(destination));
        int pieceLength = Math.Min(destination.Length, MaxPieceLength);
        byte[] piece = ArrayPool<byte>.Shared.Rent((int)DType.ByteCount(pieceLength));
        try
        {
            for (int done = 0; done < destination.Length; done += pieceLength)
            {
                Span<float> part = destination.Slice(done, Math.Min(pieceLength, destination.Length - done));
                Span<byte> blocks = piece.AsSpan(0, (int)DType.ByteCount(part.Length));
                Slice(done, part.Length).CopyBytesTo(blocks, stream);
                Dynamic8.ToSingle(isSigned, blocks, part);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }
    }

    private void RequireLength(int length, string paramName)
    {
        if (length != ElementCount)
        {
            throw new ArgumentException($"{paramName} has {length} elements, but the tensor has {ElementCount}.", paramName);
        }
    }
}
