namespace NativeOpt;

/// <summary>
/// The state of TorchSharp's optimizers Adam, AdamW and SGD, as their <c>save_state_dict</c> writes and their
/// <c>load_state_dict</c> reads it (TorchSharp 0.99.6 to 0.107), to go on here with what TorchSharp began, and the
/// other way round.
/// </summary>
/// <remarks>
/// <para>
/// The format, all of it little-endian, a <i>count</i> being an unsigned LEB128 number and a <i>flag</i> a byte of 0 or 1:
/// the name of the class ("Adam", "AdamW", "SGD") as <see cref="BinaryWriter.Write(string)"/> writes it; the count of
/// parameter groups and that of parameters; the options of each group; the state of each parameter.
/// Options of Adam and AdamW are eight items: the doubles initial learning rate, learning rate, beta1, beta2, eps and
/// weight_decay, the flags amsgrad and maximize. Those of SGD are seven: the doubles initial learning rate, learning rate,
/// momentum, dampening and weight_decay, the flags nesterov and maximize. A state of Adam and AdamW is the step (64 bits),
/// exp_avg, exp_avg_sq and perhaps max_exp_avg_sq; one of SGD is perhaps momentum_buffer. "Perhaps" is a flag, and the tensor
/// if that is 1. A tensor is the count of its element type (5 float16, 6 float32, 15 bfloat16), that of its dimensions, the
/// dimensions as counts, and the elements.
/// </para>
/// <para>
/// Parameters have no names there: the set must have them in the order of TorchSharp's <c>optimizer.parameters()</c>.
/// The parameters themselves, and master weights, are not in it.
/// </para>
/// </remarks>
public static class TorchSharpState
{
    /// <summary>
    /// Saves the state to a file, which then is the new one or, whatever fails, what it was: it is written beside the
    /// target, brought to the disk and renamed.
    /// </summary>
    /// <param name="optimizer">An optimizer of the rule "adam" (<see cref="Adam"/>, <see cref="AdamW"/>) or "sgd" (<see cref="Sgd"/>).</param>
    /// <param name="path">The file; it is replaced if it exists.</param>
    /// <param name="shapes">
    /// The shape of each parameter in TorchSharp (<c>parameter.shape</c>), in the set's order; its load compares them.
    /// </param>
    /// <param name="stream">The stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with the file as it was.</param>
    /// <remarks>
    /// <para>
    /// <c>load_state_dict</c> takes the options, too: the learning rate (as it is now, also for the initial one), the weight
    /// decay and so on are this optimizer's. TorchSharp has them by parameter group, and wants as many groups as it has:
    /// written is one group for each run of tensors with the same <see cref="TensorOptions.Group"/>, learning-rate scale and
    /// weight decay.
    /// </para>
    /// <para>
    /// TorchSharp keeps states in the parameters' own type, and so they are written: a float32 parameter's as float32 (those
    /// of other types as the numbers that they stand for, exactly), a bfloat16 one's as bfloat16 and a float16 one's as float16,
    /// which needs an <see cref="OptimizerOptions.StateType"/> of the same, as nothing is rounded.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">There are fewer or more shapes than parameters, or one does not fit.</exception>
    /// <exception cref="NotSupportedException">
    /// TorchSharp has no such optimizer: one of another rule, SGD with <see cref="OptimizerOptions.Maximize"/> (TorchSharp
    /// keeps the momentum of the gradient there, and this library that of its negative) or decoupled weight decay; or a
    /// parameter of 16 bits has states of another type.
    /// </exception>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public static void Save(
        Optimizer optimizer,
        string path,
        IReadOnlyList<long[]> shapes,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(path);
        optimizer.ThrowIfDisposed();
        AtomicFile.Write(path, file => Save(optimizer, file, shapes, stream, cancellationToken));
    }

    /// <summary>Saves the state to a stream, from its position on; see the overload with a path.</summary>
    /// <param name="optimizer">An optimizer of the rule "adam" (<see cref="Adam"/>, <see cref="AdamW"/>) or "sgd" (<see cref="Sgd"/>).</param>
    /// <param name="destination">The stream; it stays open. After an exception it may hold a part.</param>
    /// <param name="shapes">The shape of each parameter in TorchSharp, in the set's order.</param>
    /// <param name="stream">The device's stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <inheritdoc cref="Save(Optimizer, string, IReadOnlyList{long[]}, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Save(
        Optimizer optimizer,
        Stream destination,
        IReadOnlyList<long[]> shapes,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentNullException.ThrowIfNull(shapes);
        optimizer.ThrowIfDisposed();
        optimizer.RequireNotDisplaced();
        using HandleLease lease = new(optimizer.Handle, optimizer);
        new TorchSharpWriter(optimizer, shapes, stream).Write(destination, cancellationToken);
    }

    /// <summary>
    /// Loads a state from a file. The next steps are those that the library would have taken after as many of its own. The
    /// whole file is read and checked first; if it does not fit, nothing changes.
    /// </summary>
    /// <param name="optimizer">
    /// An optimizer of the rule "adam" (<see cref="Adam"/>, <see cref="AdamW"/>) or "sgd" (<see cref="Sgd"/>), with the amsgrad and
    /// maximize of TorchSharp's.
    /// </param>
    /// <param name="path">The file.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <remarks>
    /// <para>
    /// Each parameter has its own step. <see cref="Optimizer.Beta1Product"/> and <see cref="Optimizer.Beta2Product"/> come from the
    /// file's betas, with which its steps were taken. SGD has no step count, and <see cref="Optimizer.StepCount"/> stays what it
    /// is; a parameter without a momentum buffer gets one of zeros.
    /// </para>
    /// <para>
    /// The file has the hyperparameters of its optimizer. One that is not the optimizer's here is refused, unless the overload
    /// with <see cref="SavedHyperparameters"/> says what is to become of it. The learning rate may be the one with which the
    /// file's schedule began, too.
    /// </para>
    /// <para>
    /// States may be float32, bfloat16 or float16, of any shape with as many elements as the parameter has. Elements that a state
    /// of fewer bits cannot hold without being rounded are refused; what <c>Save</c> wrote of such a state, as float32, needs no
    /// rounding. Refused, too, are files of another class, with other numbers of parameters, with or
    /// without amsgrad unlike the optimizer, and those whose betas differ within one group here
    /// (<see cref="TensorOptions.Group"/>), which has one pair. Of SGD, another dampening than here and maximize are refused.
    /// </para>
    /// <para>
    /// The file does not say which parameters are in which of its groups. An optimizer of several groups therefore takes only
    /// files with as many groups as <c>Save</c> would write, and takes them to be the same ones.
    /// </para>
    /// <para>
    /// Parameters and master weights stay as they are. Load the parameters yourself, and then call
    /// <see cref="Optimizer.ResetMasterWeights"/> if there are master weights.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> or <paramref name="path"/> is null.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is truncated, damaged or foreign, or does not fit the optimizer; the message says what differs.
    /// </exception>
    /// <exception cref="NotSupportedException">TorchSharp has no such optimizer; see <c>Save</c>.</exception>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public static void Load(
        Optimizer optimizer, string path, DeviceStream stream = default, CancellationToken cancellationToken = default) =>
        Load(optimizer, path, SavedHyperparameters.MustMatch, stream, cancellationToken);

    /// <summary>
    /// Loads a state from a file, whose hyperparameters may be others than the optimizer's; see the overload without a choice.
    /// </summary>
    /// <param name="optimizer">
    /// An optimizer of the rule "adam" (<see cref="Adam"/>, <see cref="AdamW"/>) or "sgd" (<see cref="Sgd"/>), with the amsgrad and
    /// maximize of TorchSharp's.
    /// </param>
    /// <param name="path">The file.</param>
    /// <param name="hyperparameters">
    /// What becomes of hyperparameters that are not the optimizer's: the learning rate, betas, eps, momentum, nesterov, weight
    /// decay. An optimizer cannot take them over where parameters of one group here have different ones in the file, where
    /// tensors have a learning-rate scale or a weight decay of their own, or from momentum 0 to more and the other way round.
    /// </param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="hyperparameters"/> is no value of its type.</exception>
    /// <inheritdoc cref="Load(Optimizer, string, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Load(
        Optimizer optimizer,
        string path,
        SavedHyperparameters hyperparameters,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(path);
        Check.Defined(hyperparameters, nameof(hyperparameters), nameof(hyperparameters));
        StateTransfer.LoadFile(path, file => Load(optimizer, file, mustEnd: true, hyperparameters, stream, cancellationToken));
    }

    /// <summary>
    /// Loads a state from a stream, from its position on, and leaves the stream after it; see the overload with a path.
    /// </summary>
    /// <param name="optimizer">
    /// An optimizer of the rule "adam" (<see cref="Adam"/>, <see cref="AdamW"/>) or "sgd" (<see cref="Sgd"/>), with the amsgrad and
    /// maximize of TorchSharp's.
    /// </param>
    /// <param name="source">The stream; it stays open, and need not seek.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <inheritdoc cref="Load(Optimizer, string, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Load(
        Optimizer optimizer, Stream source, DeviceStream stream = default, CancellationToken cancellationToken = default) =>
        Load(optimizer, source, SavedHyperparameters.MustMatch, stream, cancellationToken);

    /// <summary>
    /// Loads a state from a stream, from its position on, and leaves the stream after it; its hyperparameters may be others than
    /// the optimizer's. See the overload with a path.
    /// </summary>
    /// <param name="optimizer">
    /// An optimizer of the rule "adam" (<see cref="Adam"/>, <see cref="AdamW"/>) or "sgd" (<see cref="Sgd"/>), with the amsgrad and
    /// maximize of TorchSharp's.
    /// </param>
    /// <param name="source">The stream; it stays open, and need not seek.</param>
    /// <param name="hyperparameters">What becomes of hyperparameters that are not the optimizer's.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <inheritdoc cref="Load(Optimizer, string, SavedHyperparameters, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Load(
        Optimizer optimizer,
        Stream source,
        SavedHyperparameters hyperparameters,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(source);
        Check.Defined(hyperparameters, nameof(hyperparameters), nameof(hyperparameters));
        Load(optimizer, source, mustEnd: false, hyperparameters, stream, cancellationToken);
    }

    private static void Load(
        Optimizer optimizer,
        Stream source,
        bool mustEnd,
        SavedHyperparameters hyperparameters,
        DeviceStream stream,
        CancellationToken cancellation)
    {
        optimizer.ThrowIfDisposed();
        optimizer.RequireNotDisplaced();
        using HandleLease lease = new(optimizer.Handle, optimizer);
        using TorchSharpReader reader = new(optimizer, hyperparameters, stream);
        Action count = reader.Read(source, cancellation);
        if (mustEnd && source.ReadByte() != -1)
        {
            throw new InvalidDataException("There is something after the end of the state; it is another file, or damaged.");
        }

        optimizer.ForgetThatMasterWeightsFit();
        count();
        reader.CopyStates();
    }
}
