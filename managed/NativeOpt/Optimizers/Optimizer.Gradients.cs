using NativeOpt.Interop;

namespace NativeOpt;

public abstract unsafe partial class Optimizer
{
    private GradientOptions? _gradientOptions;

    /// <summary>What later steps make of the gradients; null, as at first: nothing. May change between steps.</summary>
    /// <remarks>
    /// Clipping by the norm and skipping read the gradients once more before the step; a <see cref="DimerOptimizer"/> has
    /// the norm from the pass that it takes anyway. Within a dimer's update the loss scale stays as it is, and so does
    /// whether the norm is needed: the update is refused with an <see cref="InvalidOperationException"/> otherwise.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">The device's memory ran out.</exception>
    public GradientOptions? GradientOptions
    {
        get => _gradientOptions;
        set
        {
            ThrowIfDisposed();
            nopt_grad_options options = value?.ToNative(nameof(value)) ?? default;
            using HandleLease lease = new(_handle, this);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_set_grad_options(
                    (nopt_optimizer*)lease.Pointer, value is null ? null : &options));
            _gradientOptions = value;
        }
    }

    /// <summary>
    /// Sets the loss scale of <see cref="GradientOptions"/>; where the optimizer is capturable, on the device, for the steps
    /// and the replays of steps captured since the first of these calls that the stream is given from now on. Options that
    /// are set later have their own again, of the host.
    /// </summary>
    /// <param name="lossScale">What the loss is multiplied with; <see cref="GradientOptions.LossScale"/> has the range.</param>
    /// <param name="stream">The stream of the steps.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="lossScale"/> is out of range.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">The device's memory ran out.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void SetLossScale(double lossScale, DeviceStream stream = default)
    {
        GradientOptions changed = (_gradientOptions ?? new GradientOptions()) with { LossScale = lossScale };
        nopt_grad_options options = changed.ToNative(nameof(lossScale));
        if (!IsCapturable)
        {
            GradientOptions = changed;
            return;
        }

        ThrowIfDisposed();
        options.loss_scale = NativeMethods.NOPT_LOSS_SCALE_ON_DEVICE;
        using HandleLease lease = new(_handle, this);
        nopt_optimizer* optimizer = (nopt_optimizer*)lease.Pointer;
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_optimizer_set_loss_scale(optimizer, lossScale, (void*)stream.Pointer));
        NativeError.ThrowIfFailed(NativeMethods.nopt_optimizer_set_grad_options(optimizer, &options));
        stream.KeepAlive();
        _gradientOptions = changed;
    }

    /// <summary>
    /// What became of the gradients, without waiting: on CUDA in the newest step that has finished on the device. After
    /// <see cref="DeviceStream.Synchronize"/> that is the last one.
    /// </summary>
    /// <returns>The status; before any step with <see cref="GradientOptions"/>, that of none.</returns>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public GradientStatus GetGradientStatus()
    {
        ThrowIfDisposed();
        nopt_grad_status status = new() { struct_size = (uint)sizeof(nopt_grad_status) };
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_optimizer_get_grad_status((nopt_optimizer*)lease.Pointer, &status));
        return new GradientStatus(status.skipped != 0, status.skipped_steps, status.norm, status.clip_coefficient);
    }
}
