using System.Runtime.InteropServices;

namespace NativeOpt;

// Sets over memory that .NET or this library allocated.
public sealed unsafe partial class ParameterSet
{
    private object? _keptAlive;

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
        GCHandle[] pins = [.. parameters.Concat(gradients).Select(static a => GCHandle.Alloc(a, GCHandleType.Pinned))];
        TensorRef[] tensors = [.. pins.Select(
            static pin => TensorRef.FromPointer(pin.AddrOfPinnedObject(), ((float[])pin.Target!).Length))];
        return WithGradients(
            new ParameterSet(Device.Cpu, tensors.AsSpan(0, parameters.Count), options, pins),
            tensors.AsSpan(parameters.Count));
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
        ParameterSet set = WithGradients(
            new ParameterSet(tensors.AsSpan(0, parameters.Count), options), tensors.AsSpan(parameters.Count));
        set._keptAlive = kept;
        return set;
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
}
