using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace NativeOpt;

/// <summary>ILGPU's buffers as parameters and gradients: NativeOpt works in their memory.</summary>
/// <remarks>
/// Buffers have elements of <see cref="float"/>, <see cref="System.Half"/> or <see cref="global::ILGPU.Half"/>, or of 16 bits
/// whose type is named. They are on a CPU accelerator, whose memory is the host's, or on a CUDA accelerator. The CUDA path is
/// written and not yet run on a GPU.
/// </remarks>
public static class IlgpuTensors
{
    extension(ParameterSet)
    {
        /// <summary>
        /// Registers buffers of an accelerator, and refers to them, so that they are not freed for want of other references.
        /// </summary>
        /// <typeparam name="T"><see cref="float"/>, <see cref="System.Half"/> or <see cref="global::ILGPU.Half"/>.</typeparam>
        /// <param name="parameters">
        /// The parameters, at least one, all of one accelerator; a step updates them in place.
        /// </param>
        /// <param name="gradients">
        /// The gradient of each parameter, of as many elements; kernels write it before each step.
        /// </param>
        /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
        /// <returns>The set, ready to step. Dispose of it and its optimizer before the accelerator.</returns>
        /// <exception cref="ArgumentNullException">A list or a buffer is null.</exception>
        /// <exception cref="ArgumentException">
        /// There are no parameters, they are of several accelerators, a gradient does not fit its parameter, or as for the
        /// constructors of <see cref="ParameterSet"/>.
        /// </exception>
        /// <exception cref="NotSupportedException">
        /// The element type or the accelerator is none that NativeOpt knows.
        /// </exception>
        /// <exception cref="NativeOptException">The accelerator's device cannot be used; the message says why.</exception>
        public static ParameterSet FromBuffers<T>(
            IReadOnlyList<MemoryBuffer1D<T, Stride1D.Dense>> parameters,
            IReadOnlyList<MemoryBuffer1D<T, Stride1D.Dense>> gradients,
            ReadOnlySpan<TensorOptions> options = default)
            where T : unmanaged
        {
            ArgumentNullException.ThrowIfNull(parameters);
            ArgumentNullException.ThrowIfNull(gradients);
            MemoryBuffer1D<T, Stride1D.Dense>[] kept = [.. parameters, .. gradients];
            foreach (MemoryBuffer1D<T, Stride1D.Dense> buffer in kept)
            {
                ArgumentNullException.ThrowIfNull(buffer);
                if (buffer.Accelerator != kept[0].Accelerator)
                {
                    throw new ArgumentException(
                        $"The buffers are of {kept[0].Accelerator} and of {buffer.Accelerator}; a set is of one accelerator.",
                        nameof(parameters));
                }
            }

            TensorRef[] tensors = [.. kept.Select(static buffer => buffer.AsTensorRef())];
            using ScopedAcceleratorBinding? binding = kept.FirstOrDefault()?.Accelerator.BindScoped();
            return ParameterSet.FromTensors(
                tensors.AsSpan(0, parameters.Count), tensors.AsSpan(parameters.Count), options, kept);
        }
    }

    /// <summary>The elements of a view as a tensor.</summary>
    /// <typeparam name="T"><see cref="float"/>, <see cref="System.Half"/> or <see cref="global::ILGPU.Half"/>.</typeparam>
    /// <param name="view">The view, which may be a part of a buffer. Keep the buffer as long as the tensor is used.</param>
    /// <returns>The tensor, on the accelerator's device.</returns>
    /// <exception cref="ArgumentException">The view is of no buffer.</exception>
    /// <exception cref="NotSupportedException">The element type or the accelerator is none that NativeOpt knows.</exception>
    public static TensorRef AsTensorRef<T>(this ArrayView<T> view)
        where T : unmanaged =>
        typeof(T) == typeof(global::ILGPU.Half)
            ? view.AsTensorRef(DType.Float16)
            : TensorRef.FromPointer<T>(PointerOf(view, nameof(view)), view.Length, DeviceOf(view, nameof(view)));

    /// <summary>The elements of a view as a tensor, where their type in .NET does not say what their bits are.</summary>
    /// <typeparam name="T">Any type of as many bytes as an element has, such as <see cref="ushort"/>.</typeparam>
    /// <param name="view">The view, which may be a part of a buffer. Keep the buffer as long as the tensor is used.</param>
    /// <param name="dtype">What the bits are: <see cref="DType.BFloat16"/>, for one.</param>
    /// <returns>The tensor, on the accelerator's device.</returns>
    /// <exception cref="ArgumentException">The view is of no buffer.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> has elements of another size.</exception>
    /// <exception cref="NotSupportedException">The accelerator is none that NativeOpt knows.</exception>
    public static TensorRef AsTensorRef<T>(this ArrayView<T> view, DType dtype)
        where T : unmanaged =>
        TensorRef.FromPointer<T>(PointerOf(view, nameof(view)), view.Length, dtype, DeviceOf(view, nameof(view)));

    /// <summary>A buffer as a tensor.</summary>
    /// <inheritdoc cref="AsTensorRef{T}(ArrayView{T})"/>
    /// <param name="buffer">The buffer. Keep it as long as the tensor is used.</param>
    /// <exception cref="ArgumentNullException"><paramref name="buffer"/> is null.</exception>
    public static TensorRef AsTensorRef<T>(this MemoryBuffer1D<T, Stride1D.Dense> buffer)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return buffer.View.BaseView.AsTensorRef();
    }

    /// <summary>A matrix as a tensor; it has no padding between its rows or columns.</summary>
    /// <typeparam name="T"><see cref="float"/>, <see cref="System.Half"/> or <see cref="global::ILGPU.Half"/>.</typeparam>
    /// <typeparam name="TStride">Dense along x or y: the same for a parameter and its gradient.</typeparam>
    /// <param name="buffer">The buffer. Keep it as long as the tensor is used.</param>
    /// <returns>The tensor, on the accelerator's device.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="buffer"/> is null.</exception>
    /// <exception cref="ArgumentException">The buffer has padding.</exception>
    /// <exception cref="NotSupportedException">The element type or the accelerator is none that NativeOpt knows.</exception>
    public static TensorRef AsTensorRef<T, TStride>(this MemoryBuffer2D<T, TStride> buffer)
        where T : unmanaged
        where TStride : struct, IStride2D
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return WithoutPadding(buffer.View.BaseView, buffer.View.Extent.Size, nameof(buffer)).AsTensorRef();
    }

    /// <summary>A tensor of three dimensions; it has no padding.</summary>
    /// <inheritdoc cref="AsTensorRef{T, TStride}(MemoryBuffer2D{T, TStride})"/>
    public static TensorRef AsTensorRef<T, TStride>(this MemoryBuffer3D<T, TStride> buffer)
        where T : unmanaged
        where TStride : struct, IStride3D
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return WithoutPadding(buffer.View.BaseView, buffer.View.Extent.Size, nameof(buffer)).AsTensorRef();
    }

    /// <summary>The device that NativeOpt steps on for buffers of an accelerator.</summary>
    /// <param name="accelerator">The accelerator.</param>
    /// <returns>The CPU for a CPU accelerator, the GPU for a CUDA accelerator.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="accelerator"/> is null.</exception>
    /// <exception cref="NotSupportedException">It is another kind of accelerator.</exception>
    public static Device AsDevice(this Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        return accelerator switch
        {
            CudaAccelerator cuda => Device.Cuda(cuda.DeviceId),
            { AcceleratorType: AcceleratorType.CPU } => Device.Cpu,
            _ => throw new NotSupportedException(
                $"{accelerator.Name} is an accelerator of type {accelerator.AcceleratorType}; NativeOpt steps on "
                + $"{AcceleratorType.CPU} and {AcceleratorType.Cuda}."),
        };
    }

    private static ArrayView<T> WithoutPadding<T>(ArrayView<T> elements, long count, string paramName)
        where T : unmanaged =>
        elements.Length == count
            ? elements
            : throw new ArgumentException(
                $"{paramName} has {count} elements in memory for {elements.Length}: the others are padding. Allocate it as a dense "
                + "one (Allocate2DDenseX).", paramName);

    private static nint PointerOf<T>(ArrayView<T> view, string paramName)
        where T : unmanaged
    {
        RequireBuffer(view, paramName);
        return view.Length == 0 ? 0 : view.LoadEffectiveAddressAsPtr();
    }

    private static Device DeviceOf<T>(ArrayView<T> view, string paramName)
        where T : unmanaged
    {
        RequireBuffer(view, paramName);
        return view.GetAccelerator().AsDevice();
    }

    private static void RequireBuffer<T>(ArrayView<T> view, string paramName)
        where T : unmanaged
    {
        // Views without elements are not valid for ILGPU; a tensor without elements is one like any other.
        if (!view.IsValid && ((IArrayView)view).Buffer is null)
        {
            throw new ArgumentException($"{paramName} is of no buffer; take a buffer's View.", paramName);
        }
    }
}
