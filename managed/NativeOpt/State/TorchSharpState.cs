using System.Globalization;
using System.Text;
using NativeOpt.Interop;

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
public static unsafe class TorchSharpState
{
    // TorchSharp's numbers of element types.
    private const long Float16Code = 5;
    private const long Float32Code = 6;
    private const long BFloat16Code = 15;

    private const string SgdName = "SGD";

    // Of more than this no name is; another file's first bytes may say anything.
    private const int MaxNameBytes = 64;
    private const int MaxDimensions = 64;

    /// <summary>
    /// Saves the state to a file, which then is the new one or, whatever fails, what it was: it is written beside the
    /// target, brought to the disk and renamed.
    /// </summary>
    /// <param name="optimizer">An <see cref="Adam"/>, <see cref="AdamW"/> or <see cref="Sgd"/>.</param>
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
    /// of <see cref="DType.Dynamic8"/> as the numbers that they stand for, exactly), a bfloat16 one's as bfloat16, which needs a
    /// <see cref="OptimizerOptions.StateType"/> of bfloat16, as nothing is rounded.
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
    /// <param name="optimizer">An <see cref="Adam"/>, <see cref="AdamW"/> or <see cref="Sgd"/>.</param>
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
        string name = NameOf(optimizer);
        ParameterSet set = optimizer.ParameterSet;
        RequireShapes(set, shapes);
        StateRole[] roles = StateTransfer.RulesStates(optimizer);
        DType[] types = WrittenTypes(optimizer, roles, stream);
        List<Run> runs = Runs(optimizer);
        stream.Synchronize(set.Device);
        long[] steps = [.. optimizer.Groups.Select(static group => group.StepCount)];
        Write(destination, writer =>
        {
            writer.Write(name);
            writer.Write7BitEncodedInt64(runs.Count);
            writer.Write7BitEncodedInt64(set.Count);
            runs.ForEach(run => WriteOptions(writer, name, run.Hyperparameters));
        });
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            if (name == SgdName)
            {
                WriteIfAny(StateRole.MomentumBuffer);
            }
            else
            {
                long step = steps[set.GetGroup(tensor)];
                Write(destination, writer => writer.Write(step));
                WriteState(StateRole.ExpAvg);
                WriteState(StateRole.ExpAvgSq);
                WriteIfAny(StateRole.MaxExpAvgSq);
            }

            void WriteIfAny(StateRole role)
            {
                bool has = roles.Contains(role);
                Write(destination, writer => writer.Write(has));
                if (has)
                {
                    WriteState(role);
                }
            }

            void WriteState(StateRole role)
            {
                Write(destination, writer => WriteHead(writer, types[tensor], shapes[tensor]));
                TensorRef state = optimizer.GetState(role, tensor, stream);
                if (state.DType == types[tensor])
                {
                    StateTransfer.Write(destination, state, stream, cancellationToken);
                }
                else
                {
                    StateTransfer.WriteSingles(destination, state, role, stream, cancellationToken);
                }
            }
        }

        StateTransfer.RequireNoStepSince(optimizer, steps[0]);
    }

    /// <summary>
    /// Loads a state from a file. The next steps are those that the library would have taken after as many of its own. The
    /// whole file is read and checked first; if it does not fit, nothing changes.
    /// </summary>
    /// <param name="optimizer">
    /// An <see cref="Adam"/>, <see cref="AdamW"/> or <see cref="Sgd"/>, with the amsgrad and maximize of TorchSharp's.
    /// </param>
    /// <param name="path">The file.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <remarks>
    /// <para>
    /// Of the options, <see cref="Optimizer.Beta1Product"/> and <see cref="Optimizer.Beta2Product"/> come from the file's
    /// betas, with which its steps were taken. Learning rate and the others are not loaded. SGD has no step count, and
    /// <see cref="Optimizer.StepCount"/> stays what it is; a parameter without a momentum buffer gets one of zeros.
    /// </para>
    /// <para>
    /// States may be float32, bfloat16 or float16, of any shape with as many elements as the parameter has. Float32 or float16
    /// into states of bfloat16 is refused, since it would have to be rounded, and so is any into those of
    /// <see cref="DType.Dynamic8"/>. Refused, too, are files of another class, with other numbers of parameters, with or
    /// without amsgrad unlike the optimizer, and those whose steps or betas differ within one group here
    /// (<see cref="TensorOptions.Group"/>), which has one count and one pair of products. Of SGD, dampening and maximize are
    /// refused.
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
        Optimizer optimizer, string path, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(path);
        StateTransfer.LoadFile(path, file => Load(optimizer, file, mustEnd: true, stream, cancellationToken));
    }

    /// <summary>
    /// Loads a state from a stream, from its position on, and leaves the stream after it; see the overload with a path.
    /// </summary>
    /// <param name="optimizer">
    /// An <see cref="Adam"/>, <see cref="AdamW"/> or <see cref="Sgd"/>, with the amsgrad and maximize of TorchSharp's.
    /// </param>
    /// <param name="source">The stream; it stays open, and need not seek.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <inheritdoc cref="Load(Optimizer, string, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Load(
        Optimizer optimizer, Stream source, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(source);
        Load(optimizer, source, mustEnd: false, stream, cancellationToken);
    }

    private static void Load(
        Optimizer optimizer, Stream source, bool mustEnd, DeviceStream stream, CancellationToken cancellation)
    {
        optimizer.ThrowIfDisposed();
        optimizer.RequireNotDisplaced();
        using HandleLease lease = new(optimizer.Handle, optimizer);
        List<Source> sources = [];
        try
        {
            nopt_step_state?[] states = Read(optimizer, source, sources, stream, cancellation);
            if (mustEnd && source.ReadByte() != -1)
            {
                throw new InvalidDataException("There is something after the end of the state; it is another file, or damaged.");
            }

            foreach (OptimizerGroup group in optimizer.Groups)
            {
                group.StepState = states[group.Index] ?? group.StepState;
            }

            foreach (Source read in sources)
            {
                StateTransfer.Copy((byte*)read.Data.Pointer, read.Type, read.Destination, stream);
            }
        }
        finally
        {
            sources.ForEach(static read => read.Data.Dispose());
        }
    }

    /// <summary>Reads and checks everything, and changes nothing.</summary>
    /// <returns>The step count and products of each group; null if it has none.</returns>
    private static nopt_step_state?[] Read(
        Optimizer optimizer, Stream stream, List<Source> sources, DeviceStream order, CancellationToken cancellation)
    {
        string name = NameOf(optimizer);
        ParameterSet set = optimizer.ParameterSet;
        using BinaryReader reader = new(stream, Encoding.UTF8, leaveOpen: true);
        string where = "its first bytes";
        try
        {
            RequireClass(reader, name);
            where = "the number of parameter groups";
            long groupCount = reader.Read7BitEncodedInt64();
            where = "the number of parameters";
            long count = reader.Read7BitEncodedInt64();
            if (count != set.Count)
            {
                throw new InvalidDataException($"The file has {count} parameters; the set has {set.Count}.");
            }

            if (groupCount < 1)
            {
                throw new InvalidDataException($"The file has {groupCount} parameter groups; it must have at least 1.");
            }

            // Of one group here all of the file's are parts; of several it has to have the same.
            List<Run> runs = Runs(optimizer);
            if (optimizer.Groups.Count > 1 && groupCount != runs.Count)
            {
                throw new InvalidDataException(
                    $"The file has {groupCount} parameter groups, but the set has {runs.Count} runs of tensors with the same "
                    + "group, learning-rate scale and weight decay, and the file does not say which parameters are in which "
                    + "group. Load it with an optimizer of one group; another one can then take the states over (TakeOver).");
            }

            (long Group, double Beta1, double Beta2)?[] betas = new (long, double, double)?[optimizer.Groups.Count];
            for (long group = 0; group < groupCount; group++)
            {
                cancellation.ThrowIfCancellationRequested();
                where = $"the options of parameter group {group}";
                int here = betas.Length == 1 ? 0 : runs[(int)group].Group;
                (double beta1, double beta2) = ReadOptions(reader, optimizer.Groups[here], name, group);
                betas[here] ??= (group, beta1, beta2);
                (long first, double firstBeta1, double firstBeta2) = betas[here]!.Value;
                if ((beta1, beta2) != (firstBeta1, firstBeta2))
                {
                    throw new InvalidDataException(
                        string.Create(
                            CultureInfo.InvariantCulture,
                            $"Parameter group {first} has the betas {firstBeta1} and {firstBeta2} in the file, group "
                            + $"{group} has {beta1} and {beta2}; both are of group {here} here, which has one pair. Give such "
                            + $"parameters a {nameof(TensorOptions)}.{nameof(TensorOptions.Group)} of their own."));
                }
            }

            (int Tensor, long Step)?[] counts = new (int, long)?[betas.Length];
            for (int tensor = 0; tensor < set.Count; tensor++)
            {
                if (name == SgdName)
                {
                    ReadIfAny(StateRole.MomentumBuffer, tensor);
                    continue;
                }

                where = $"the step of {StateTransfer.Describe(set, tensor)}";
                long step = reader.ReadInt64();
                int here = set.GetGroup(tensor);
                counts[here] ??= step >= 0
                    ? (tensor, step)
                    : throw new InvalidDataException($"In the file, {where} is {step}; it must be at least 0.");
                (int first, long firstStep) = counts[here]!.Value;
                if (step != firstStep)
                {
                    throw new InvalidDataException(
                        $"In the file, the step of {StateTransfer.Describe(set, first)} is {firstStep}, {where} is {step}; both are "
                        + $"of group {here}, which has one step count. Give such parameters a {nameof(TensorOptions)}."
                        + $"{nameof(TensorOptions.Group)} of their own.");
                }

                ReadState(StateRole.ExpAvg, tensor);
                ReadState(StateRole.ExpAvgSq, tensor);
                ReadIfAny(StateRole.MaxExpAvgSq, tensor);
            }

            return
            [
                .. counts.Zip(betas, (count, used) => count is { } counted && used is { } own
                    ? StateTransfer.StepState(counted.Step, own.Beta1, own.Beta2, cancellation)
                    : (nopt_step_state?)null),
            ];
        }
        catch (Exception exception) when (exception is EndOfStreamException or FormatException)
        {
            // FormatException: of a count that is none.
            throw new InvalidDataException(
                exception is FormatException ? $"In the file, {where} is no number." : $"The file ends within {where}.", exception);
        }

        void ReadState(StateRole role, int tensor)
        {
            where = $"{StateTransfer.NameOf(role)} of {StateTransfer.Describe(set, tensor)}";
            sources.Add(ReadTensor(reader, where, optimizer.GetState(role, tensor, order), cancellation));
        }

        void ReadIfAny(StateRole role, int tensor)
        {
            where = $"whether there is {StateTransfer.NameOf(role)} of {StateTransfer.Describe(set, tensor)}";
            bool isThere = ReadFlag(reader, where);
            bool isHere = optimizer.StateRoles.Contains(role);
            if (isThere && isHere)
            {
                ReadState(role, tensor);
            }
            else if (isHere && role == StateRole.MomentumBuffer)
            {
                // TorchSharp makes it at the first step, from the gradient, as a buffer of zeros becomes then.
                TensorRef state = optimizer.GetState(role, tensor, order);
                sources.Add(new Source(new DeviceBuffer<byte>(Device.Cpu, state.ByteCount), state.DType, state));
            }
            else if (isThere || isHere)
            {
                string state = $"{StateTransfer.NameOf(role)} of {StateTransfer.Describe(set, tensor)}";
                throw new InvalidDataException(
                    isThere
                        ? $"The file has {state}, which the optimizer with its options has not."
                        : $"The file has no {state}, which the optimizer has.");
            }
        }
    }

    private static void RequireClass(BinaryReader reader, string name)
    {
        int length = reader.Read7BitEncodedInt();
        byte[] bytes = length is > 0 and <= MaxNameBytes ? reader.ReadBytes(length) : [];
        if (bytes.Length == 0 || bytes.Length < length || !bytes.All(static letter => char.IsAsciiLetterOrDigit((char)letter)))
        {
            throw new InvalidDataException(
                "The file does not begin with the name of an optimizer; it is none that TorchSharp's save_state_dict wrote.");
        }

        string found = Encoding.ASCII.GetString(bytes);
        if (found != name)
        {
            throw new InvalidDataException(
                $"The file is of TorchSharp's \"{found}\"; the optimizer here is its \"{name}\".");
        }
    }

    /// <summary>Reads a group's options, and compares those that say what the states are.</summary>
    private static (double Beta1, double Beta2) ReadOptions(BinaryReader reader, OptimizerGroup here, string name, long group)
    {
        _ = reader.ReadDouble(); // the initial learning rate
        _ = reader.ReadDouble(); // the learning rate
        nopt_flag flags = (nopt_flag)here.Hyperparameters.flags;
        string where = $"of parameter group {group}";
        if (name == SgdName)
        {
            _ = reader.ReadDouble(); // momentum
            double dampening = reader.ReadDouble();
            _ = reader.ReadDouble(); // weight_decay
            _ = ReadFlag(reader, $"nesterov {where}");
            if (dampening != 0)
            {
                throw new InvalidDataException(
                    string.Create(
                        CultureInfo.InvariantCulture, $"dampening {where} is {dampening} in the file; SGD here has none."));
            }

            RequireFlag($"maximize {where}", ReadFlag(reader, $"maximize {where}"), false);
            return (0, 0);
        }

        double beta1 = ReadBeta($"beta1 {where}");
        double beta2 = ReadBeta($"beta2 {where}");
        _ = reader.ReadDouble(); // eps
        _ = reader.ReadDouble(); // weight_decay
        RequireFlag(
            $"amsgrad {where}", ReadFlag(reader, $"amsgrad {where}"), flags.HasFlag(nopt_flag.NOPT_FLAG_AMSGRAD));
        RequireFlag(
            $"maximize {where}", ReadFlag(reader, $"maximize {where}"), flags.HasFlag(nopt_flag.NOPT_FLAG_MAXIMIZE));
        return (beta1, beta2);

        double ReadBeta(string what)
        {
            double beta = reader.ReadDouble();
            return beta is >= 0 and < 1
                ? beta
                : throw new InvalidDataException(
                    string.Create(CultureInfo.InvariantCulture, $"{what} is {beta} in the file; it must be in [0, 1)."));
        }
    }

    private static bool ReadFlag(BinaryReader reader, string what)
    {
        byte value = reader.ReadByte();
        return value <= 1
            ? value == 1
            : throw new InvalidDataException($"In the file, {what} is {value}; it must be 0 or 1.");
    }

    private static void RequireFlag(string what, bool isThere, bool isHere)
    {
        if (isThere != isHere)
        {
            throw new InvalidDataException($"{what} is {isThere} in the file; the optimizer's is {isHere}.");
        }
    }

    private static Source ReadTensor(BinaryReader reader, string what, TensorRef destination, CancellationToken cancellation)
    {
        long code = reader.Read7BitEncodedInt64();
        DType type = code switch
        {
            Float16Code => DType.Float16,
            Float32Code => DType.Float32,
            BFloat16Code => DType.BFloat16,
            _ => throw new InvalidDataException(
                $"In the file, {what} has element type {code}; it must be {Float32Code} (float32), {BFloat16Code} (bfloat16) or "
                + $"{Float16Code} (float16)."),
        };
        long dimensions = reader.Read7BitEncodedInt64();
        if (dimensions is < 0 or > MaxDimensions)
        {
            throw new InvalidDataException($"In the file, {what} has {dimensions} dimensions; the file is damaged.");
        }

        long[] shape = new long[dimensions];
        for (int i = 0; i < shape.Length; i++)
        {
            shape[i] = reader.Read7BitEncodedInt64();
        }

        if (!StateTransfer.HasElements(shape, destination.ElementCount))
        {
            throw new InvalidDataException(
                $"In the file, {what} has shape [{string.Join(", ", shape)}]; the parameter has {destination.ElementCount} "
                + "elements.");
        }

        StateTransfer.RequireExact(what, type, destination.DType);
        DeviceBuffer<byte> data = new(Device.Cpu, type.ByteCount(destination.ElementCount));
        try
        {
            return StateTransfer.TryRead(reader.BaseStream, data, cancellation)
                ? new Source(data, type, destination)
                : throw new EndOfStreamException();
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>TorchSharp's name of the optimizer.</summary>
    private static string NameOf(Optimizer optimizer)
    {
        bool isDecoupled = Have(nopt_flag.NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) > 0;
        return optimizer switch
        {
            Adam or AdamW when isDecoupled && Have(nopt_flag.NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) < optimizer.Groups.Count =>
                throw new NotSupportedException(
                    "Some groups have decoupled weight decay and others have not; TorchSharp's optimizer is Adam or AdamW for all."),
            Adam or AdamW => isDecoupled ? "AdamW" : "Adam",
            Sgd when Have(nopt_flag.NOPT_FLAG_MAXIMIZE) > 0 => throw new NotSupportedException(
                "TorchSharp's SGD with maximize keeps the momentum of the gradient, this library's that of its negative; one "
                + "cannot go on with the other's state."),
            Sgd when isDecoupled => throw new NotSupportedException("TorchSharp's SGD has no decoupled weight decay."),
            Sgd => SgdName,
            _ => throw new NotSupportedException(
                $"TorchSharp has no optimizer of the rule \"{optimizer.RuleName}\", only Adam, AdamW and SGD of those here."),
        };

        int Have(nopt_flag flag) => optimizer.Groups.Count(group => (group.Hyperparameters.flags & (uint)flag) != 0);
    }

    private static void RequireShapes(ParameterSet set, IReadOnlyList<long[]> shapes)
    {
        set.RequireCount(shapes.Count, nameof(shapes));
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            long[] shape = shapes[tensor] ?? throw new ArgumentException($"shapes[{tensor}] is null.", nameof(shapes));
            if (!StateTransfer.HasElements(shape, set.ElementCounts[tensor]))
            {
                throw new ArgumentException(
                    $"shapes[{tensor}] is [{string.Join(", ", shape)}], but the parameter has {set.ElementCounts[tensor]} "
                    + "elements.",
                    nameof(shapes));
            }
        }
    }

    /// <summary>The type of each tensor's states in the file: the parameter's, as long as nothing is rounded.</summary>
    private static DType[] WrittenTypes(Optimizer optimizer, StateRole[] roles, DeviceStream order)
    {
        ParameterSet set = optimizer.ParameterSet;
        DType[] types = set.ParameterLayout.Types.ToArray();
        for (int tensor = 0; tensor < types.Length && roles.Length > 0; tensor++)
        {
            DType state = optimizer.GetState(roles[0], tensor, order).DType;
            if (types[tensor] != state && types[tensor] != DType.Float32)
            {
                throw new NotSupportedException(
                    $"TorchSharp keeps states in the parameter's type, and {StateTransfer.Describe(set, tensor)} is "
                    + $"{types[tensor]}, but its states are {state} and would have to be rounded.");
            }
        }

        return types;
    }

    /// <summary>The options of each run of tensors that have the same.</summary>
    private static List<Run> Runs(Optimizer optimizer)
    {
        ParameterSet set = optimizer.ParameterSet;
        List<Run> runs = [];
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            int group = set.GetGroup(tensor);
            nopt_hyperparams all = optimizer.Groups[group].Hyperparameters;
            nopt_hyperparams own = all with
            {
                lr = all.lr * set.GetLearningRateScale(tensor),
                weight_decay = set.GetWeightDecay(tensor) ?? all.weight_decay,
            };
            if (runs.Count == 0 || group != runs[^1].Group
                || own.lr != runs[^1].Hyperparameters.lr || own.weight_decay != runs[^1].Hyperparameters.weight_decay)
            {
                runs.Add(new Run(group, own));
            }
        }

        // TorchSharp has a group even without parameters.
        return runs.Count > 0 ? runs : [new Run(0, optimizer.Groups[0].Hyperparameters)];
    }

    private static void WriteOptions(BinaryWriter writer, string name, nopt_hyperparams options)
    {
        nopt_flag flags = (nopt_flag)options.flags;
        writer.Write(options.lr);
        writer.Write(options.lr);
        if (name == SgdName)
        {
            writer.Write(options.momentum);
            writer.Write(0.0); // dampening
            writer.Write(options.weight_decay);
            writer.Write(flags.HasFlag(nopt_flag.NOPT_FLAG_NESTEROV));
        }
        else
        {
            writer.Write(options.beta1);
            writer.Write(options.beta2);
            writer.Write(options.eps);
            writer.Write(options.weight_decay);
            writer.Write(flags.HasFlag(nopt_flag.NOPT_FLAG_AMSGRAD));
        }

        writer.Write(flags.HasFlag(nopt_flag.NOPT_FLAG_MAXIMIZE));
    }

    private static void WriteHead(BinaryWriter writer, DType type, long[] shape)
    {
        writer.Write7BitEncodedInt64(type switch
        {
            DType.Float32 => Float32Code,
            DType.BFloat16 => BFloat16Code,
            _ => Float16Code,
        });
        writer.Write7BitEncodedInt64(shape.Length);
        foreach (long dimension in shape)
        {
            writer.Write7BitEncodedInt64(dimension);
        }
    }

    // By way of memory: a BinaryWriter would flush the stream.
    private static void Write(Stream stream, Action<BinaryWriter> write)
    {
        using MemoryStream memory = new();
        using BinaryWriter writer = new(memory);
        write(writer);
        stream.Write(memory.GetBuffer().AsSpan(0, (int)memory.Length));
    }

    /// <summary>Tensors that follow each other, with the same options, of one of the optimizer's groups.</summary>
    private readonly record struct Run(int Group, nopt_hyperparams Hyperparameters);

    private sealed record Source(DeviceBuffer<byte> Data, DType Type, TensorRef Destination);
}
