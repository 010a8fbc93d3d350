using NativeOpt.Interop;

namespace NativeOpt;

public abstract unsafe partial class Optimizer
{
    /// <summary>Whether steps can be captured into a CUDA graph; see <see cref="SetCapturable"/>.</summary>
    public bool IsCapturable { get; private set; }

    /// <summary>
    /// Moves the step count to the device, which then counts the steps itself, or back. Steps of a capturable optimizer can
    /// be captured into a CUDA graph (by the host framework), and k replays give the bits of k steps.
    /// </summary>
    /// <remarks>
    /// <para>
    /// Before a capture take a step, or call <see cref="Upload"/>. A replay uses the options of the
    /// capture, but the learning rates of the last <see cref="SetLearningRate"/> (of each group,
    /// <see cref="OptimizerGroup.SetLearningRate"/>), the loss scale of the last <see cref="SetLossScale"/> if that came before
    /// the capture, too, and the addresses that the last step or <c>Upload</c> brought to the device. It is not checked like a
    /// step: keep the set, the optimizer and all buffers as long as the graph, and do not use them from elsewhere meanwhile.
    /// </para>
    /// <para>
    /// <see cref="StepCount"/> then tells the newest step that has finished on the device, and takes a wait for the device
    /// to set. A <see cref="DimerOptimizer"/> counts on the host when to turn its direction, which replays do not do. On CPU
    /// nothing changes.
    /// </para>
    /// </remarks>
    /// <param name="capturable">Whether the device counts.</param>
    /// <param name="stream">The stream of the steps so far; the call waits for it.</param>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">The device's memory ran out.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void SetCapturable(bool capturable, DeviceStream stream = default)
    {
        ThrowIfDisposed();
        using HandleLease lease = new(_handle, this);
        nopt_optimizer* optimizer = (nopt_optimizer*)lease.Pointer;
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_optimizer_set_capturable(optimizer, capturable ? 1 : 0, (void*)stream.Pointer));
        if (capturable && !IsCapturable)
        {
            foreach (OptimizerGroup group in _groups)
            {
                group.SendLearningRate(group.LearningRate, stream);
            }
        }

        IsCapturable = capturable;
        foreach (OptimizerGroup group in _groups)
        {
            WriteStepHyperparameters(group.Index, group.Hyperparameters);
        }

        if (!capturable && _gradientOptions is not null)
        {
            // A loss scale on the device is gone.
            GradientOptions = _gradientOptions;
        }

        stream.KeepAlive();
    }

    /// <summary>
    /// Sets <see cref="LearningRate"/>, that of group 0; where the optimizer is capturable, also on the device, for the steps
    /// and replays that the stream is given from now on.
    /// </summary>
    /// <param name="learningRate">0 to 1e22.</param>
    /// <param name="stream">The stream of the steps.</param>
    /// <inheritdoc cref="OptimizerGroup.SetLearningRate" path="/exception"/>
    public void SetLearningRate(double learningRate, DeviceStream stream = default) =>
        _groups[0].SetLearningRate(learningRate, stream);

    /// <summary>
    /// Brings what changed (addresses, per-tensor options, which tensors have a gradient) to the device, in stream order, for
    /// replays of captured steps. Steps do so by themselves, except while they are captured. See <see cref="SetCapturable"/>.
    /// Does nothing on CPU.
    /// </summary>
    /// <param name="stream">The stream of the replays.</param>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="InvalidOperationException">The stream is being captured.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Upload(DeviceStream stream = default)
    {
        ThrowIfDisposed();
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_optimizer_upload((nopt_optimizer*)lease.Pointer, (void*)stream.Pointer));
        stream.KeepAlive();
    }
}
