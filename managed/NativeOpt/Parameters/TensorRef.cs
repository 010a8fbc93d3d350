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
    /// <summary>A float32 tensor at an address.</summary>
    /// <param name="pointer">The address of the first element.</param>
    /// <param name="elementCount">The number of elements.</param>
    /// <param name="device">Where the memory is; the CPU if left out.</param>
    /// <returns>The tensor.</returns>
    public static TensorRef FromPointer(nint pointer, long elementCount, Device device = default) =>
        new(pointer, elementCount, DType.Float32, device);

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

    /// <summary>A buffer as a tensor; see <see cref="FromDeviceBuffer"/>.</summary>
    /// <param name="buffer">The buffer.</param>
    public static implicit operator TensorRef(DeviceBuffer<float> buffer) => FromDeviceBuffer(buffer);

    /// <summary>Copies the elements to host memory, in stream order, and waits for it.</summary>
    /// <param name="destination">As many elements as the tensor has.</param>
    /// <param name="stream">The stream of the work that writes the tensor; the default one if left out.</param>
    /// <exception cref="ArgumentException">The lengths differ, or the stream does not fit the device.</exception>
    /// <exception cref="NotSupportedException">The elements are not float32.</exception>
    /// <exception cref="ObjectDisposedException">The stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public unsafe void CopyTo(Span<float> destination, DeviceStream stream = default)
    {
        if (DType != DType.Float32)
        {
            throw new NotSupportedException($"The tensor has element type {DType}; only {DType.Float32} is copied.");
        }

        if (destination.Length != ElementCount)
        {
            throw new ArgumentException(
                $"destination has {destination.Length} elements, but the tensor has {ElementCount}.", nameof(destination));
        }

        fixed (float* host = destination)
        {
            DeviceMemory.CopyAndWait(Device, host, (void*)Pointer, ElementCount * sizeof(float), stream);
        }
    }
}
