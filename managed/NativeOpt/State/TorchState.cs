using System.Buffers.Binary;
using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The state of torch's optimizers in safetensors files, to go on here with what torch began, and the other way round.
/// docs/torch.md has the few lines of Python that write and read them.
/// </summary>
/// <remarks>
/// <para>
/// A file has, for each parameter, tensors of torch's own names: for Adam and AdamW "NAME.exp_avg", "NAME.exp_avg_sq", with
/// amsgrad "NAME.max_exp_avg_sq", and the scalar "NAME.step"; for SGD with momentum "NAME.momentum_buffer" alone. NAdam, Adamax,
/// RAdam, Adagrad, Adadelta, RMSprop, Rprop and ASGD have their states and the step, too. NAdam's "NAME.mu_product" and ASGD's
/// "NAME.eta" and "NAME.mu" are written for torch; here they follow from the step and the options. NAME is
/// that of the set (<see cref="ParameterSet.Names"/>); a file to load may have "0", "1" and so on instead, as
/// torch's state_dict numbers the parameters. Learning rate and other options are not in it, nor are parameters and master
/// weights.
/// </para>
/// <para>
/// Rules that torch lacks (such as InvAdam and DualAdam, which keep the moments of Adam) are saved and loaded the same way:
/// each state under its name, and the step.
/// </para>
/// </remarks>
public static class TorchState
{
    private const string StepName = "step";
    private const int ScalarBytes = sizeof(float);

    // torch's SGD alone keeps no step.
    private const string RuleWithoutStep = "sgd";

    /// <summary>
    /// Saves the state to a file, which then is the new one or, whatever fails, what it was: it is written beside the
    /// target, brought to the disk and renamed.
    /// </summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="path">The file, conventionally *.safetensors; it is replaced if it exists.</param>
    /// <param name="stream">The stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with the file as it was.</param>
    /// <remarks>
    /// States are of the types that they have and of shape [elements]: a parameter's shape is not known here.
    /// Those of <see cref="DType.Dynamic8"/> are written as the float32 numbers that they stand for, exactly. Steps are
    /// float32, as torch's are, and each parameter has its own.
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> or <paramref name="path"/> is null.</exception>
    /// <exception cref="NotSupportedException">The rule is swats, whose switch torch has no names for.</exception>
    /// <exception cref="InvalidOperationException">
    /// A float32 cannot hold the step count (above 16,777,216, where torch's own would stand still), or a
    /// <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public static void Save(
        Optimizer optimizer, string path, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(path);
        optimizer.ThrowIfDisposed();
        TorchScalars.RequireNames(optimizer.Rule);
        AtomicFile.Write(path, file => Save(optimizer, file, stream, cancellationToken));
    }

    /// <summary>Saves the state to a stream, from its position on; see the overload with a path.</summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="destination">The stream; it stays open. After an exception it may hold a part.</param>
    /// <param name="stream">The device's stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <inheritdoc cref="Save(Optimizer, string, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Save(
        Optimizer optimizer, Stream destination, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(destination);
        optimizer.ThrowIfDisposed();
        TorchScalars.RequireNames(optimizer.Rule);
        optimizer.RequireNotDisplaced();
        using HandleLease lease = new(optimizer.Handle, optimizer);
        stream.Synchronize(optimizer.ParameterSet.Device);
        long stepsOfOptimizer = optimizer.StepCount;
        nopt_step_state[] counts = optimizer.TensorStates();
        RuleState[] rulesStates = StateTransfer.RulesStates(optimizer);
        bool hasStep = HasStep(optimizer);
        if (hasStep && Array.FindIndex(counts, static count => (long)(float)count.step != count.step) is >= 0 and int uncountable)
        {
            throw new InvalidOperationException(
                $"The optimizer has taken {counts[uncountable].step} steps with "
                + $"{StateTransfer.Describe(optimizer.ParameterSet, uncountable)}; torch counts them in float32, which cannot hold this "
                + "number.");
        }

        // Scalars come first: after states of 16 bits, which may be odd in number, they would not lie at multiples of 4, and
        // torch cannot view them there.
        ParameterSet set = optimizer.ParameterSet;
        List<SafetensorsEntry> entries = [];
        List<(RuleState Described, TensorRef Tensor)> states = [];
        long end = 0;
        List<float> scalars = [];
        for (int tensor = 0; hasStep && tensor < set.Count; tensor++)
        {
            AppendScalar(tensor, StepName, counts[tensor].step);
            foreach (string scalar in TorchScalars.Names(optimizer.Rule))
            {
                AppendScalar(tensor, scalar, TorchScalars.Value(optimizer, tensor, counts[tensor], scalar));
            }
        }

        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            foreach (RuleState described in rulesStates)
            {
                TensorRef state = optimizer.GetState(described.Role, tensor, stream);
                states.Add((described, state));
                DType written = WrittenType(state);
                Append(
                    $"{set.Names[tensor]}.{described.Name}", written, [state.ElementCount],
                    written.ByteCount(state.ElementCount));
            }
        }

        Dictionary<string, string> metadata = new() { [StateMetadata.FormatKey] = "pt" };
        destination.Write(new SafetensorsHeader(metadata, entries).ToBytes());
        Span<byte> bytes = stackalloc byte[ScalarBytes];
        foreach (float scalar in scalars)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes, scalar);
            destination.Write(bytes);
        }

        foreach ((RuleState described, TensorRef state) in states)
        {
            if (WrittenType(state) == state.DType)
            {
                StateTransfer.Write(destination, state, stream, cancellationToken);
            }
            else
            {
                StateTransfer.WriteSingles(destination, state, described.IsSigned, stream, cancellationToken);
            }
        }

        StateTransfer.RequireNoStepSince(optimizer, stepsOfOptimizer);

        void AppendScalar(int tensor, string name, double value)
        {
            Append($"{set.Names[tensor]}.{name}", DType.Float32, [], ScalarBytes);
            scalars.Add((float)value);
        }

        void Append(string name, DType type, long[] shape, long bytes)
        {
            entries.Add(new SafetensorsEntry(name, type.SafetensorsName(), shape, end, end + bytes));
            end += bytes;
        }
    }

    /// <summary>
    /// Loads a state from a file. The next steps are those that the library would have taken after as many of its own. The
    /// whole file is read and checked first; if it does not fit, nothing changes.
    /// </summary>
    /// <param name="optimizer">The optimizer, with the betas and the amsgrad of torch's.</param>
    /// <param name="path">The file.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <remarks>
    /// <para>
    /// States may be F32, BF16 or F16, of any shape with as many elements as the parameter has, in the order that these have
    /// in memory. Elements that a state of fewer bits cannot hold without being rounded are refused; what <c>Save</c> wrote of such
    /// a state needs no rounding. Steps may be F32, F64 or I64. SGD has none, and
    /// <see cref="Optimizer.StepCount"/> stays what it is; with dampening, whose first step differs, it is at least 1 for parameters
    /// that have a buffer, and 0 for others.
    /// </para>
    /// <para>
    /// A parameter of which the file has nothing at all is one that never had a gradient in torch: its states are as before
    /// the first step, and its step is 0. Refused are files that have something of a parameter but lack a state or the step,
    /// that have nothing of any parameter, or that have another tensor.
    /// </para>
    /// <para>
    /// Parameters and master weights stay as they are. Load the parameters yourself, and then call
    /// <see cref="Optimizer.ResetMasterWeights"/> if there are master weights.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> or <paramref name="path"/> is null.</exception>
    /// <exception cref="NotSupportedException">The rule is swats, whose switch torch has no names for.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is truncated, damaged or foreign, or does not fit the optimizer; the message says what differs.
    /// </exception>
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
        StateTransfer.LoadFile(path, file => Load(optimizer, file, stream, cancellationToken));
    }

    /// <summary>Loads a state from a stream, from its position to its end; see the overload with a path.</summary>
    /// <param name="optimizer">The optimizer, with the betas and the amsgrad of torch's.</param>
    /// <param name="source">The stream; it stays open, and need not seek.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <inheritdoc cref="Load(Optimizer, string, DeviceStream, CancellationToken)" path="/exception"/>
    public static void Load(
        Optimizer optimizer, Stream source, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(source);
        optimizer.ThrowIfDisposed();
        TorchScalars.RequireNames(optimizer.Rule);
        optimizer.RequireNotDisplaced();
        using HandleLease lease = new(optimizer.Handle, optimizer);
        ParameterSet set = optimizer.ParameterSet;
        SafetensorsHeader header = SafetensorsHeader.Read(source);
        if (header.Metadata.TryGetValue(StateMetadata.FormatKey, out string? format) && format == StateMetadata.Format)
        {
            throw new InvalidDataException(
                "The file is one that Optimizer.Save wrote; load it with the optimizer's own Load.");
        }

        Dictionary<string, SafetensorsEntry> entries = header.Entries.ToDictionary(static entry => entry.Name);
        RuleState[] states = StateTransfer.RulesStates(optimizer);
        string[] names = NamesIn(entries, set);
        bool[] hasStepped = RequireNames(optimizer, entries, names, states);
        bool hasStep = HasStep(optimizer);
        List<Source> sources = [];
        List<(RuleState Described, int Tensor, TensorRef State)> fresh = [];
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            foreach (RuleState described in states)
            {
                TensorRef state = optimizer.GetState(described.Role, tensor, stream);
                if (hasStepped[tensor])
                {
                    sources.Add(Fit(entries[$"{names[tensor]}.{described.Name}"], state, described.IsSigned));
                }
                else
                {
                    fresh.Add((described, tensor, state));
                }
            }

            if (hasStep && hasStepped[tensor])
            {
                RequireStep(entries[$"{names[tensor]}.{StepName}"]);
            }
        }

        // All of the data is read before any of it is used: the file may end early.
        long total = StateTransfer.RequireTiling(header.Entries);
        using DeviceBuffer<byte> data = StateTransfer.ReadData(source, total, cancellationToken);
        ExactCopy[] copies = [.. sources.Select(source => source.At(data.Pointer))];
        Array.ForEach(copies, static copy => copy.Require());

        Action count;
        if (!hasStep)
        {
            count = StateTransfer.CountedByBuffers(optimizer, hasStepped, cancellationToken);
        }
        else
        {
            long[] steps =
            [
                .. Enumerable.Range(0, set.Count).Select(
                    tensor => hasStepped[tensor] ? ReadStep(entries[$"{names[tensor]}.{StepName}"], data) : 0),
            ];
            count = StateTransfer.Counted(
                optimizer, steps, [.. optimizer.Groups.Select(static group => group.Hyperparameters)], cancellationToken);
        }

        optimizer.ForgetThatMasterWeightsFit();
        count();
        Array.ForEach(copies, copy => copy.Run(stream));

        foreach ((RuleState described, int tensor, TensorRef state) in fresh)
        {
            optimizer.Initialize(described, tensor, state, stream);
        }
    }

    // torch has nothing like Dynamic8; float32 holds each of its numbers.
    private static DType WrittenType(TensorRef state) => state.DType == DType.Dynamic8 ? DType.Float32 : state.DType;

    private static bool HasStep(Optimizer optimizer) => optimizer.RuleName != RuleWithoutStep;

    /// <summary>What the file calls the set's tensors: their names, or their indices if it has none of these.</summary>
    private static string[] NamesIn(Dictionary<string, SafetensorsEntry> entries, ParameterSet set)
    {
        string[] indices = [.. Enumerable.Range(0, set.Count).Select(static i => i.ToString(CultureInfo.InvariantCulture))];
        string[] suffixes =
            [StepName, .. Rule.All.SelectMany(static rule => rule.States).Select(static state => state.Name).Distinct()];
        return !HasAny(set.Names) && HasAny(indices) ? indices : [.. set.Names];

        bool HasAny(IEnumerable<string> names) =>
            names.Any(name => Array.Exists(suffixes, suffix => entries.ContainsKey($"{name}.{suffix}")));
    }

    /// <summary>Throws unless the file has each tensor that it must have, and no others.</summary>
    /// <returns>Of each tensor, whether the file has something of it.</returns>
    private static bool[] RequireNames(
        Optimizer optimizer, Dictionary<string, SafetensorsEntry> entries, string[] names, RuleState[] states)
    {
        string[] suffixes =
            [.. states.Select(static state => state.Name), .. HasStep(optimizer) ? [StepName] : Array.Empty<string>()];
        RequireSameFlags(optimizer, entries, names, states);
        bool[] hasStepped =
            [.. names.Select(name => Array.Exists(suffixes, suffix => entries.ContainsKey($"{name}.{suffix}")))];
        bool isOfNone = !hasStepped.Contains(true);
        for (int tensor = 0; tensor < names.Length; tensor++)
        {
            string? missing = Array.Find(suffixes, suffix => !entries.ContainsKey($"{names[tensor]}.{suffix}"));
            if (missing is not null && (hasStepped[tensor] || isOfNone))
            {
                throw new InvalidDataException(
                    $"The file has no \"{names[tensor]}.{missing}\"; it is of another model or optimizer.");
            }
        }

        HashSet<string> known =
            [.. names.SelectMany(name => suffixes.Concat(TorchScalars.Names(optimizer.Rule)).Select(suffix => $"{name}.{suffix}"))];
        if (entries.Keys.FirstOrDefault(key => !known.Contains(key)) is { } extra)
        {
            throw new InvalidDataException(
                $"The file has {Printable.Quoted(extra)}, which the optimizer has not: the rule \"{optimizer.RuleName}\" with these options "
                + $"has {(states.Length == 0 ? "no states" : string.Join(", ", suffixes))} of {names.Length} tensors.");
        }

        return hasStepped;
    }

    /// <summary>Throws if the file has a state that only another flag leads to, or lacks one.</summary>
    private static void RequireSameFlags(
        Optimizer optimizer, Dictionary<string, SafetensorsEntry> entries, string[] names, RuleState[] states)
    {
        foreach (RuleState state in optimizer.Rule.States)
        {
            if (state.NeededFlag is not { } flag || names.Length == 0)
            {
                continue;
            }

            bool isHere = states.Contains(state);
            string? found = names.Select(name => $"{name}.{state.Name}").FirstOrDefault(entries.ContainsKey);
            string property = optimizer.Groups[0].Values.PropertyOf(optimizer.Rule.GetFlag(flag));
            if (found is not null && !isHere)
            {
                throw new InvalidDataException(
                    $"The file has \"{found}\": it is of an optimizer with {flag}, which this one is without. Make it with "
                    + $"{property} = true.");
            }

            if (found is null && isHere)
            {
                throw new InvalidDataException(
                    $"The file has no \"{names[0]}.{state.Name}\": it is of an optimizer without {flag}, and this one has it. "
                    + $"Make it with {property} = false.");
            }
        }
    }

    /// <summary>The source of a state, after checking that it fits.</summary>
    private static Source Fit(SafetensorsEntry entry, TensorRef destination, bool isSigned)
    {
        DType type = entry.DType switch
        {
            "F32" => DType.Float32,
            "BF16" => DType.BFloat16,
            "F16" => DType.Float16,
            _ => throw new InvalidDataException(
                $"\"{entry.Name}\" has element type {entry.DType} in the file; a state must be F32, BF16 or F16."),
        };
        if (!StateTransfer.HasElements(entry.Shape, destination.ElementCount))
        {
            throw new InvalidDataException(
                $"\"{entry.Name}\" has shape [{string.Join(", ", entry.Shape)}] in the file; the parameter has "
                + $"{destination.ElementCount} elements.");
        }

        RequireBytes(entry, type.ByteCount(destination.ElementCount));
        return new Source(entry, type, destination, isSigned);
    }

    private static void RequireStep(SafetensorsEntry entry)
    {
        int bytes = entry.DType switch
        {
            "F32" => sizeof(float),
            "F64" => sizeof(double),
            "I64" => sizeof(long),
            _ => throw new InvalidDataException(
                $"\"{entry.Name}\" has element type {entry.DType} in the file; a step must be F32, F64 or I64."),
        };
        if (!StateTransfer.HasElements(entry.Shape, 1))
        {
            throw new InvalidDataException(
                $"\"{entry.Name}\" has shape [{string.Join(", ", entry.Shape)}] in the file; a step must be one number.");
        }

        RequireBytes(entry, bytes);
    }

    private static void RequireBytes(SafetensorsEntry entry, long bytes)
    {
        if (entry.End - entry.Begin != bytes)
        {
            throw new InvalidDataException(
                $"\"{entry.Name}\" has the bytes {entry.Begin} to {entry.End} in the file; it must have {bytes}.");
        }
    }

    private static long ReadStep(SafetensorsEntry entry, DeviceBuffer<byte> data)
    {
        ReadOnlySpan<byte> bytes = data.AsSpan(entry.Begin, (int)(entry.End - entry.Begin));
        double step = entry.DType switch
        {
            "F32" => BinaryPrimitives.ReadSingleLittleEndian(bytes),
            "F64" => BinaryPrimitives.ReadDoubleLittleEndian(bytes),
            _ => BinaryPrimitives.ReadInt64LittleEndian(bytes),
        };

        // Beyond 2^53 a double does not hold every whole number; no run is so long.
        return step >= 0 && step <= OptimizerGroup.MaxStepCount && step == Math.Floor(step)
            ? (long)step
            : throw new InvalidDataException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"\"{entry.Name}\" is {step} in the file; a step must be a whole number from 0 to 2^53."));
    }

    private sealed record Source(SafetensorsEntry Entry, DType Type, TensorRef Destination, bool IsSigned)
    {
        public ExactCopy At(nint data) =>
            new($"\"{Entry.Name}\"", data + (nint)Entry.Begin, Type, Destination, IsSigned);
    }
}
