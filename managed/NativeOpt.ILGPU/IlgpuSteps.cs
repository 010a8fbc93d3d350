using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace NativeOpt;

/// <summary>Steps of optimizers in the order of ILGPU's streams.</summary>
/// <remarks>
/// A CUDA accelerator has a context of its own, and the native library works in the context that is current on the calling
/// thread. The methods here make the accelerator the thread's current one first. Other calls that reach the device
/// (constructors of sets, loading of states, disposal) need that, too, on a thread that ILGPU has not used before:
/// <see cref="Accelerator.Bind"/>.
/// </remarks>
public static class IlgpuSteps
{
    /// <summary>
    /// Takes one step of all tensors that have a gradient, in the order of a stream: after the kernels that were launched on
    /// it.
    /// </summary>
    /// <param name="optimizer">The optimizer, over buffers of the stream's accelerator.</param>
    /// <param name="stream">The stream. A CPU accelerator's kernels have finished when their launch returns.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <inheritdoc cref="Optimizer.Step(DeviceStream)" path="/exception"/>
    public static void Step(this Optimizer optimizer, AcceleratorStream stream)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(stream);
        using ScopedAcceleratorBinding binding = stream.BindScoped();
        optimizer.Step(stream.AsDeviceStream());
        GC.KeepAlive(stream);
    }

    /// <summary>
    /// Takes one step with a dimer, in the order of a stream; evaluates the closure as often as it needs gradients.
    /// </summary>
    /// <param name="dimer">The dimer around an optimizer over buffers of the stream's accelerator.</param>
    /// <param name="closure">
    /// Computes the loss and the gradients at the parameters as they are when it is called, with kernels on the stream.
    /// </param>
    /// <param name="stream">The stream. A CPU accelerator's kernels have finished when their launch returns.</param>
    /// <param name="cancellationToken">Ends the step between two evaluations, as if it had not begun.</param>
    /// <returns>
    /// The loss, as <see cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)"/> returns it.
    /// </returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <inheritdoc cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)" path="/exception"/>
    public static float Step(
        this DimerOptimizer dimer,
        Func<float> closure,
        AcceleratorStream stream,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(dimer);
        ArgumentNullException.ThrowIfNull(stream);
        using ScopedAcceleratorBinding binding = stream.BindScoped();
        float loss = dimer.Step(closure, stream.AsDeviceStream(), cancellationToken);
        GC.KeepAlive(stream);
        return loss;
    }

    /// <summary>The stream as the native library takes it.</summary>
    /// <param name="stream">The stream. It stays ILGPU's, and must exist as long as it is used.</param>
    /// <returns>The CUDA stream; the default stream for a CPU accelerator.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="stream"/> is null.</exception>
    /// <exception cref="NotSupportedException">The stream is of another kind of accelerator.</exception>
    public static DeviceStream AsDeviceStream(this AcceleratorStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        _ = stream.Accelerator.AsDevice(); // It throws where NativeOpt has no such device.
        return stream is CudaStream cuda ? DeviceStream.FromPointer(cuda.StreamPtr) : DeviceStream.Default;
    }
}
