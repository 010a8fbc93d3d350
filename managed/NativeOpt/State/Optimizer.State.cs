namespace NativeOpt;

// Saving and loading; see OptimizerState for what is in a file.
public abstract partial class Optimizer
{
    /// <summary>
    /// Saves the state to a file, which then is the new one or, whatever fails, what it was: it is written beside the
    /// target, brought to the disk and renamed.
    /// </summary>
    /// <param name="path">The file, conventionally *.safetensors; it is replaced if it exists.</param>
    /// <param name="includeParameters">Whether to save the parameters too, which <see cref="Load(string, DeviceStream, CancellationToken)"/> then restores.</param>
    /// <param name="stream">The stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with the file as it was.</param>
    /// <remarks>
    /// <para>
    /// It is a safetensors file. For each tensor it has the states of the rule by their described names (Adam's are
    /// "NAME.exp_avg" and "NAME.exp_avg_sq"), "NAME.master_param" (F32) or "NAME.param_remainder" (U16) with
    /// <see cref="OptimizerOptions.MasterWeights"/>, and "NAME.param" if asked for, each of shape [elements] and of its own
    /// type, F32, BF16 or F16. The metadata has the format ("nativeopt-state/2"), the rule, the step, and the rule's running
    /// scalars by their described names (Adam's are beta1_product and beta2_product). Learning rate and other options are not
    /// in it.
    /// </para>
    /// <para>
    /// With several groups of hyperparameters the metadata has group_count, too, and for each tensor "NAME.group"; the step and
    /// the running scalars are then a number for each group, with spaces between them. A tensor that has come less far than
    /// its group has a "NAME.step" and its own running scalars ("NAME.beta1_product").
    /// </para>
    /// <para>
    /// States of <see cref="DType.Dynamic8"/> are there byte by byte, as U8 of shape [bytes], and the metadata has u8_dtype
    /// "dynamic8": blocks of a float32, little-endian, and a byte for each of up to 256 elements.
    /// </para>
    /// <para>
    /// Master weights belong to the parameters of the same moment: a host that saves the parameters itself loads both, in any order.
    /// Parameters that do not fit their float32 master weights, such as averages that the host put there for a while, are refused;
    /// save before or after that.
    /// </para>
    /// <para>
    /// Symbolic links are followed. The new file has the permissions of the old one and, on Linux, its owner and group as far
    /// as the process may give them. A pipe or a device is written to as it is.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="path"/> is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// A parameter is not what its master weight rounds to (<see cref="FindStaleMasterWeights"/>), or a
    /// <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Save(
        string path,
        bool includeParameters = false,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        ThrowIfDisposed();
        AtomicFile.Write(path, file => Save(file, includeParameters, stream, cancellationToken));
    }

    /// <summary>Saves the state to a stream, from its position on; see the overload with a path for what is written.</summary>
    /// <param name="destination">The stream; it stays open. After an exception it may hold a part.</param>
    /// <param name="includeParameters">Whether to save the parameters too.</param>
    /// <param name="stream">The device's stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <exception cref="ArgumentNullException"><paramref name="destination"/> is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// A parameter is not what its master weight rounds to (<see cref="FindStaleMasterWeights"/>), or a
    /// <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="IOException">The stream cannot be written.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the device's stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Save(
        Stream destination,
        bool includeParameters = false,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        ThrowIfDisposed();
        using HandleLease lease = new(_handle, this);
        OptimizerState.Save(this, null, destination, includeParameters, stream, cancellationToken);
    }

    /// <summary>
    /// Loads what <c>Save</c> wrote: step counts, running scalars and state buffers, and the parameters if the file has them. With
    /// the same options the same steps then follow, bit for bit. The whole file is read and checked first; if it does not
    /// fit, nothing changes.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <exception cref="ArgumentNullException"><paramref name="path"/> is null.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is truncated, damaged or foreign, or of another rule, other options, other groups or another model; the message
    /// says what differs.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Load(string path, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        StateTransfer.LoadFile(path, file => Load(file, stream, cancellationToken));
    }

    /// <summary>Loads the state from a stream, from its position to its end; see the overload with a path.</summary>
    /// <param name="source">The stream; it stays open, and need not seek.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <exception cref="ArgumentNullException"><paramref name="source"/> is null.</exception>
    /// <exception cref="InvalidDataException">The data is truncated, damaged or foreign, or does not fit; the message says what differs.</exception>
    /// <exception cref="IOException">The stream cannot be read.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the device's stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Load(Stream source, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        ThrowIfDisposed();
        using HandleLease lease = new(_handle, this);
        OptimizerState.Load(this, null, source, stream, cancellationToken);
    }
}
