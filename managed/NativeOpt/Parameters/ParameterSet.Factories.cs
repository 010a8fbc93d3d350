using System.Runtime.InteropServices;

namespace NativeOpt;

// Sets over memory that .NET or this library allocated.
public sealed unsafe partial class ParameterSet
{
    /// <summary>Registers plain arrays on the CPU. They are pinned until the set and its optimizer are disposed of.</summary>
    /// <param name="parameters">The parameters; a step updates them in place.</param>
    /// <param name="gradients">The gradient of each parameter; write new values into the same arrays before each step.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <returns>The set, ready to step.</returns>
    /// <exception cref="ArgumentNullException">A list is null.</exception>
    /// <exception cref="ArgumentException">
    /// An array is null or occurs twice, a gradient's length is not its parameter's, or the options do not fit.
    /// </exception>
    /// <example>
    /// <code>
    /// float[] weights = [1, 2, 3], gradient = new float[3];
    /// using ParameterSet parameters = ParameterSet.FromArrays([weights], [gradient]);
    /// using DualAdam optimizer = new(parameters, new DualAdamOptions { LearningRate = 1e-2 });
    /// for (int step = 0; step &lt; 100; step++)
    /// {
    ///     for (int i = 0; i &lt; weights.Length; i++)
    ///     {
    ///         gradient[i] = 2 * weights[i]; // of the sum of squares
    ///     }
    ///
    ///     optimizer.Step();
    /// }
    /// </code>
    /// </example>
    public static ParameterSet FromArrays(
        IReadOnlyList<float[]> parameters,
        IReadOnlyList<float[]> gradients,
        ReadOnlySpan<TensorOptions> options = default)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(gradients);
        RequireNoNull(parameters, nameof(parameters));
        RequireNoNull(gradients, nameof(gradients));
        PinnedArrays pinned = new([.. parameters, .. gradients]);
        TensorRef[] tensors = pinned.Tensors;
        return WithGradients(
            new ParameterSet(Device.Cpu, tensors.AsSpan(0, parameters.Count), options, pinned), tensors.AsSpan(parameters.Count));
    }

    /// <summary>Registers buffers, and refers to them, so that they are not freed for want of other references.</summary>
    /// <param name="parameters">The parameters, at least one.</param>
    /// <param name="gradients">The gradient of each parameter.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <returns>The set, ready to step.</returns>
    /// <exception cref="ArgumentNullException">A list or a buffer is null.</exception>
    /// <exception cref="ArgumentException">A gradient does not fit its parameter, or as for the constructors.</exception>
    /// <exception cref="ObjectDisposedException">A buffer is disposed of.</exception>
    public static ParameterSet FromBuffers(
        IReadOnlyList<DeviceBuffer<float>> parameters,
        IReadOnlyList<DeviceBuffer<float>> gradients,
        ReadOnlySpan<TensorOptions> options = default)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(gradients);
        DeviceBuffer<float>[] kept = [.. parameters, .. gradients];
        TensorRef[] tensors = [.. kept.Select(TensorRef.FromDeviceBuffer)];
        return FromTensors(tensors.AsSpan(0, parameters.Count), tensors.AsSpan(parameters.Count), options, kept);
    }

    /// <summary>Registers tensors of the host's with their gradients, and perhaps what owns their memory.</summary>
    /// <param name="parameters">The parameters, at least one, all of one device.</param>
    /// <param name="gradients">The gradient of each parameter; see <see cref="SetGradients(ReadOnlySpan{TensorRef})"/>.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <param name="owner">
    /// The object that keeps the memory where it is, or null. The set refers to it until the set and its optimizer are disposed
    /// of (or this call throws), and then disposes of it if it is <see cref="IDisposable"/>: pins belong here. Arrays and lists
    /// of buffers are not disposable, and are only kept from the garbage collector.
    /// </param>
    /// <returns>The set, ready to step.</returns>
    /// <exception cref="ArgumentException">A gradient does not fit its parameter, or as for the constructors.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="NativeOptException">The device's backend cannot be used; the message says why.</exception>
    public static ParameterSet FromTensors(
        ReadOnlySpan<TensorRef> parameters,
        ReadOnlySpan<TensorRef> gradients,
        ReadOnlySpan<TensorOptions> options = default,
        object? owner = null)
    {
        Device device;
        try
        {
            device = DeviceOf(parameters);
        }
        catch
        {
            (owner as IDisposable)?.Dispose();
            throw;
        }

        return WithGradients(new ParameterSet(device, parameters, options, owner), gradients);
    }

    private static void RequireNoNull(IReadOnlyList<float[]> arrays, string paramName)
    {
        for (int i = 0; i < arrays.Count; i++)
        {
            if (arrays[i] is null)
            {
                throw new ArgumentException($"{paramName}[{i}] is null.", paramName);
            }
        }
    }

    private static ParameterSet WithGradients(ParameterSet set, ReadOnlySpan<TensorRef> gradients)
    {
        try
        {
            set.SetGradients(gradients);
            return set;
        }
        catch
        {
            set.Dispose();
            throw;
        }
    }

    /// <summary>Arrays that the garbage collector leaves in place until they are disposed of.</summary>
    private sealed class PinnedArrays(float[][] arrays) : IDisposable
    {
        private readonly GCHandle[] _pins = [.. arrays.Select(static array => GCHandle.Alloc(array, GCHandleType.Pinned))];

        public TensorRef[] Tensors =>
            [.. _pins.Zip(arrays, static (pin, array) => TensorRef.FromPointer(pin.AddrOfPinnedObject(), array.Length))];

        public void Dispose()
        {
            foreach (GCHandle pin in _pins)
            {
                pin.Free();
            }
        }
    }
}
