using ManagedCuda;
using ManagedCuda.BasicTypes;

namespace NativeOpt;

/// <summary>ManagedCuda's device variables as parameters and gradients: NativeOpt works in their memory.</summary>
/// <remarks>
/// <para>
/// Variables have elements of <see cref="float"/>, <see cref="Half"/>, <see cref="half"/> or <see cref="bfloat16"/>, or of
/// 16 bits whose type is named.
/// </para>
/// <para>
/// The native library works in the CUDA context that is current on the calling thread. Use a <see cref="PrimaryContext"/>, the
/// one that the CUDA runtime uses by itself, and call <see cref="CudaContext.SetCurrent"/> on every thread that makes, steps
/// or disposes of sets and optimizers. This is not yet run on a GPU.
/// </para>
/// </remarks>
public static class ManagedCudaTensors
{
    extension(ParameterSet)
    {
        /// <summary>
        /// Registers device variables, and refers to them. They stay the caller's: dispose of the optimizer and the set first.
        /// </summary>
        /// <typeparam name="T">
        /// <see cref="float"/>, <see cref="Half"/>, <see cref="half"/> or <see cref="bfloat16"/>.
        /// </typeparam>
        /// <param name="context">The context that the variables are of. It becomes the calling thread's current one.</param>
        /// <param name="parameters">The parameters, at least one; a step updates them in place.</param>
        /// <param name="gradients">
        /// The gradient of each parameter, of as many elements; kernels write it before each step.
        /// </param>
        /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
        /// <returns>The set, ready to step.</returns>
        /// <exception cref="ArgumentNullException">An argument or a variable is null.</exception>
        /// <exception cref="ArgumentException">
        /// There are no parameters, a gradient does not fit its parameter, or as for the constructors of
        /// <see cref="ParameterSet"/>.
        /// </exception>
        /// <exception cref="NotSupportedException">The element type is none that NativeOpt knows.</exception>
        /// <exception cref="NativeOptException">The device cannot be used; the message says why.</exception>
        public static ParameterSet FromVariables<T>(
            CudaContext context,
            IReadOnlyList<CudaDeviceVariable<T>> parameters,
            IReadOnlyList<CudaDeviceVariable<T>> gradients,
            ReadOnlySpan<TensorOptions> options = default)
            where T : unmanaged
        {
            ArgumentNullException.ThrowIfNull(context);
            ArgumentNullException.ThrowIfNull(parameters);
            ArgumentNullException.ThrowIfNull(gradients);
            CudaDeviceVariable<T>[] kept = [.. parameters, .. gradients];
            Device device = context.AsDevice();
            TensorRef[] tensors = [.. kept.Select(variable => variable.AsTensorRef(device))];
            context.SetCurrent();
            return ParameterSet.FromTensors(
                tensors.AsSpan(0, parameters.Count), tensors.AsSpan(parameters.Count), options, kept);
        }
    }

    /// <summary>A device variable as a tensor.</summary>
    /// <typeparam name="T">
    /// <see cref="float"/>, <see cref="Half"/>, <see cref="half"/> or <see cref="bfloat16"/>.
    /// </typeparam>
    /// <param name="variable">The variable. Keep it as long as the tensor is used.</param>
    /// <param name="device">The device of the variable's context: <see cref="AsDevice"/>.</param>
    /// <returns>The tensor.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="variable"/> is null.</exception>
    /// <exception cref="NotSupportedException">The element type is none that NativeOpt knows.</exception>
    public static TensorRef AsTensorRef<T>(this CudaDeviceVariable<T> variable, Device device)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(variable);
        if (typeof(T) == typeof(bfloat16))
        {
            return variable.AsTensorRef(DType.BFloat16, device);
        }

        return typeof(T) == typeof(half)
            ? variable.AsTensorRef(DType.Float16, device)
            : TensorRef.FromPointer<T>(PointerOf(variable), variable.Size, device);
    }

    /// <summary>
    /// A device variable as a tensor, where the type of its elements in .NET does not say what their bits are.
    /// </summary>
    /// <typeparam name="T">Any type of as many bytes as an element has, such as <see cref="ushort"/>.</typeparam>
    /// <param name="variable">The variable. Keep it as long as the tensor is used.</param>
    /// <param name="dtype">What the bits are: <see cref="DType.BFloat16"/>, for one.</param>
    /// <param name="device">The device of the variable's context: <see cref="AsDevice"/>.</param>
    /// <returns>The tensor.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="variable"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> has elements of another size.</exception>
    public static TensorRef AsTensorRef<T>(this CudaDeviceVariable<T> variable, DType dtype, Device device)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(variable);
        return TensorRef.FromPointer<T>(PointerOf(variable), variable.Size, dtype, device);
    }

    /// <summary>The device of a context.</summary>
    /// <param name="context">The context.</param>
    /// <returns>The GPU, by the same index.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="context"/> is null.</exception>
    public static Device AsDevice(this CudaContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return Device.Cuda(context.DeviceId);
    }

    private static nint PointerOf<T>(CudaDeviceVariable<T> variable)
        where T : unmanaged => variable.DevicePointer.Pointer;
}
