using ManagedCuda;

namespace NativeOpt;

/// <summary>Steps of optimizers in the order of ManagedCuda's streams.</summary>
public static class ManagedCudaSteps
{
    /// <summary>
    /// Takes one step of all tensors that have a gradient, in the order of a stream: after the kernels that were launched on
    /// it.
    /// </summary>
    /// <param name="optimizer">The optimizer, over variables of the context that is current on the calling thread.</param>
    /// <param name="stream">The stream.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <inheritdoc cref="Optimizer.Step(DeviceStream)" path="/exception"/>
    public static void Step(this Optimizer optimizer, CudaStream stream)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        optimizer.Step(stream.AsDeviceStream());
        GC.KeepAlive(stream);
    }

    /// <summary>
    /// Takes one step with a dimer, in the order of a stream; evaluates the closure as often as it needs gradients.
    /// </summary>
    /// <param name="dimer">
    /// The dimer around an optimizer over variables of the context that is current on the calling thread.
    /// </param>
    /// <param name="closure">
    /// Computes the loss and the gradients at the parameters as they are when it is called, with kernels on the stream.
    /// </param>
    /// <param name="stream">The stream.</param>
    /// <param name="cancellationToken">Ends the step between two evaluations, as if it had not begun.</param>
    /// <returns>
    /// The loss, as <see cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)"/> returns it.
    /// </returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <inheritdoc cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)" path="/exception"/>
    public static float Step(
        this DimerOptimizer dimer, Func<float> closure, CudaStream stream, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(dimer);
        float loss = dimer.Step(closure, stream.AsDeviceStream(), cancellationToken);
        GC.KeepAlive(stream);
        return loss;
    }

    /// <summary>The stream as the native library takes it.</summary>
    /// <param name="stream">The stream. It stays ManagedCuda's, and must exist as long as it is used.</param>
    /// <returns>The stream, not owned.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="stream"/> is null.</exception>
    public static DeviceStream AsDeviceStream(this CudaStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return DeviceStream.FromPointer(stream.Stream.Pointer);
    }
}
