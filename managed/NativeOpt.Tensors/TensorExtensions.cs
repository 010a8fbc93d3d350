using System.Globalization;
using System.Numerics.Tensors;

namespace NativeOpt;

/// <summary>Tensors of System.Numerics.Tensors as parameters and gradients: NativeOpt works in their memory.</summary>
/// <remarks>
/// Tensors have elements of <see cref="float"/> or <see cref="Half"/>, or of 16 bits whose type is named. They are dense: all
/// their elements follow each other without gaps, as in tensors that are no slices. Shapes do not matter to a step, so that a
/// gradient needs as many elements as its parameter, and the same order of dimensions.
/// </remarks>
public static class TensorExtensions
{
    extension(ParameterSet)
    {
        /// <summary>
        /// Registers tensors on the CPU. The garbage collector leaves their elements in place until the set and its
        /// optimizer are disposed of.
        /// </summary>
        /// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
        /// <param name="parameters">The parameters, at least one; a step updates them in place.</param>
        /// <param name="gradients">
        /// The gradient of each parameter; write new values into the same tensors before each step.
        /// </param>
        /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
        /// <returns>The set, ready to step.</returns>
        /// <exception cref="ArgumentNullException">A list or a tensor is null.</exception>
        /// <exception cref="ArgumentException">
        /// A tensor is not dense, two parameters overlap, a gradient has not as many elements as its parameter, or as for the
        /// constructors of <see cref="ParameterSet"/>.
        /// </exception>
        /// <exception cref="NotSupportedException">
        /// The elements are neither <see cref="float"/> nor <see cref="Half"/>.
        /// </exception>
        public static ParameterSet FromTensors<T>(
            IReadOnlyList<Tensor<T>> parameters,
            IReadOnlyList<Tensor<T>> gradients,
            ReadOnlySpan<TensorOptions> options = default)
            where T : unmanaged
        {
            _ = DTypes.Of<T>(); // It throws where there is no such element type.
            RequireDense(parameters, nameof(parameters));
            RequireDense(gradients, nameof(gradients));
            PinnedTensors<T> pinned = new([.. parameters, .. gradients]);
            TensorRef[] tensors = pinned.Refs;
            return ParameterSet.FromTensors(
                tensors.AsSpan(0, parameters.Count), tensors.AsSpan(parameters.Count), options, pinned);
        }
    }

    /// <summary>The elements of a span as a tensor. Nothing is copied or pinned.</summary>
    /// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
    /// <param name="span">
    /// The elements, dense and in memory that does not move as long as the result is used: native memory, a
    /// <see cref="DeviceBuffer{T}"/> of the CPU, or what is pinned, such as tensors that were made with <c>pinned: true</c>.
    /// </param>
    /// <returns>The tensor, on the CPU.</returns>
    /// <exception cref="ArgumentException">The span is not dense.</exception>
    /// <exception cref="NotSupportedException">
    /// The elements are neither <see cref="float"/> nor <see cref="Half"/>.
    /// </exception>
    public static TensorRef AsTensorRef<T>(this in TensorSpan<T> span)
        where T : unmanaged => TensorRef.FromPointer<T>(PointerOf(span, nameof(span)), span.FlattenedLength);

    /// <summary>
    /// The elements of a span as a tensor, where their type in .NET does not say what their bits are. Nothing is copied or
    /// pinned.
    /// </summary>
    /// <typeparam name="T">Any type of as many bytes as an element has, such as <see cref="ushort"/>.</typeparam>
    /// <param name="span">The elements, as in <see cref="AsTensorRef{T}(in TensorSpan{T})"/>.</param>
    /// <param name="dtype">What the bits are: <see cref="DType.BFloat16"/>, for one.</param>
    /// <returns>The tensor, on the CPU.</returns>
    /// <exception cref="ArgumentException">The span is not dense.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> has elements of another size.</exception>
    public static TensorRef AsTensorRef<T>(this in TensorSpan<T> span, DType dtype)
        where T : unmanaged => TensorRef.FromPointer<T>(PointerOf(span, nameof(span)), span.FlattenedLength, dtype);

    /// <summary>The elements of a buffer on the CPU with a shape, for the operations of System.Numerics.Tensors.</summary>
    /// <typeparam name="T">The element.</typeparam>
    /// <param name="buffer">The buffer; keep it as long as the span is used.</param>
    /// <param name="lengths">
    /// The length of each dimension, the last one contiguous. Their product is the buffer's length.
    /// </param>
    /// <returns>The elements themselves.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="buffer"/> is null.</exception>
    /// <exception cref="ArgumentException">The shape has another number of elements.</exception>
    /// <exception cref="InvalidOperationException">The buffer is not on the CPU.</exception>
    /// <exception cref="ObjectDisposedException">The buffer is disposed of.</exception>
    public static unsafe TensorSpan<T> AsTensorSpan<T>(this DeviceBuffer<T> buffer, params scoped ReadOnlySpan<nint> lengths)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(buffer);
        if (buffer.Device != Device.Cpu)
        {
            throw new InvalidOperationException(
                $"The buffer is on {buffer.Device}, which the processor cannot read; use CopyTo and CopyFrom.");
        }

        long count = 1;
        foreach (nint length in lengths)
        {
            count = checked(count * length);
        }

        return count == buffer.Length
            ? new TensorSpan<T>((T*)buffer.Pointer, (nint)count, lengths)
            : throw new ArgumentException(
                string.Create(CultureInfo.InvariantCulture, $"The shape has {count} elements, but the buffer has {buffer.Length}."),
                nameof(lengths));
    }

    private static unsafe nint PointerOf<T>(in TensorSpan<T> span, string paramName)
        where T : unmanaged
    {
        if (!span.IsDense)
        {
            throw NotDense(paramName, span.Lengths, span.Strides, paramName);
        }

        fixed (T* first = span)
        {
            return (nint)first;
        }
    }

    private static void RequireDense<T>(IReadOnlyList<Tensor<T>> tensors, string paramName)
    {
        ArgumentNullException.ThrowIfNull(tensors, paramName);
        for (int i = 0; i < tensors.Count; i++)
        {
            Tensor<T> tensor = tensors[i] ?? throw new ArgumentNullException(paramName, $"{paramName}[{i}] is null.");
            if (!tensor.IsDense)
            {
                throw NotDense($"{paramName}[{i}]", tensor.Lengths, tensor.Strides, paramName);
            }
        }
    }

    private static ArgumentException NotDense(
        string what, ReadOnlySpan<nint> lengths, ReadOnlySpan<nint> strides, string paramName) =>
        new($"{what} has lengths [{List(lengths)}] and strides [{List(strides)}], and so gaps between its elements, elements "
            + "that are there twice, or another order of dimensions; use a dense tensor (ToDenseTensor copies one).", paramName);

    private static string List(ReadOnlySpan<nint> values) => string.Join(", ", values.ToArray());
}
