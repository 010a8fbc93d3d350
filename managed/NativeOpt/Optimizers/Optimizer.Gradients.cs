using NativeOpt.Interop;

namespace NativeOpt;

public abstract unsafe partial class Optimizer
{
    private GradientOptions? _gradientOptions;

    /// <summary>What later steps make of the gradients; null, as at first: nothing. May change between steps.</summary>
    /// <remarks>
    /// Clipping by the norm and skipping read the gradients once more before the step. Steps of a
    /// <see cref="DimerOptimizer"/> do not know these options yet and throw <see cref="NotSupportedException"/>.
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
