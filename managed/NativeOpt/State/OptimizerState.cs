using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What a state file holds: an optimizer's scalars and state buffers, perhaps those of a dimer and
/// the parameters too.</summary>
internal static unsafe class OptimizerState
{
    private const string ParameterSuffix = "param";
    private const string DirectionSuffix = "direction";
    private const string SearchSuffix = "rotation_direction";

    private const string Dynamic8Remedy =
        " U8 is a state of Dynamic8: make the optimizer with the types of states (StateType, StateTypes, "
        + "TensorOptions.StateType) and the MinDynamic8ElementCount of the one that was saved.";

    /// <summary>Saves an optimizer, and the dimer around it unless that is null.</summary>
    public static void Save(
        Optimizer optimizer,
        DimerOptimizer? dimer,
        Stream stream,
        bool includeParameters,
        DeviceStream order,
        CancellationToken cancellation)
    {
        optimizer.RequireNotDisplaced();
        // What the device counts and says must be that of the last step.
        order.Synchronize(optimizer.ParameterSet.Device);
        optimizer.RequireMasterWeights(order);
        nopt_step_state[] groups = optimizer.GroupStates();
        List<SafetensorsEntry> entries = [];

        // Wider types first, so that each lies at a multiple of its element: other readers cannot view it elsewhere.
        List<Buffer> buffers =
        [
            .. Buffers(optimizer, dimer, includeParameters, dimer?.KeepsSearch ?? false, order)
                .OrderByDescending(static buffer => buffer.Tensor.DType.ElementByteCount()),
        ];
        long end = 0;
        foreach (Buffer buffer in buffers)
        {
            long begin = end;
            end += buffer.Bytes;
            entries.Add(new SafetensorsEntry(buffer.Key, buffer.DType, [buffer.Count], begin, end));
        }

        Dictionary<string, string> metadata = StateMetadata.Of(optimizer, groups, dimer);
        if (buffers.Exists(static buffer => buffer.IsDynamic8))
        {
            metadata[StateMetadata.BytesTypeKey] = DType.Dynamic8.NativeName();
        }

        stream.Write(new SafetensorsHeader(metadata, entries).ToBytes());
        foreach (Buffer buffer in buffers)
        {
            StateTransfer.Write(stream, buffer.Tensor, order, cancellation);
        }

        StateTransfer.RequireNoStepSince(optimizer, groups[0].step);
    }

    /// <summary>Loads an optimizer, and the dimer around it unless that is null.</summary>
    public static void Load(
        Optimizer optimizer, DimerOptimizer? dimer, Stream stream, DeviceStream order, CancellationToken cancellation)
    {
        optimizer.RequireNotDisplaced();
        SafetensorsHeader header = SafetensorsHeader.Read(stream);
        StateMetadata metadata = new(header.Metadata, optimizer, dimer);
        bool hasParameters = header.Entries.Any(
            static entry => entry.Name.EndsWith('.' + ParameterSuffix, StringComparison.Ordinal));
        bool hasSearch = metadata.Dimer?.HasSearch ?? false;
        List<Buffer> buffers = Buffers(optimizer, dimer, hasParameters, hasSearch && dimer!.KeepsSearch, order);
        Dictionary<string, SafetensorsEntry> entries = RequireEntries(
            header, buffers, hasSearch && !dimer!.KeepsSearch ? '.' + SearchSuffix : null);
        if (buffers.Exists(static buffer => buffer.IsDynamic8))
        {
            metadata.RequireValue(StateMetadata.BytesTypeKey, DType.Dynamic8.NativeName());
        }

        long total = StateTransfer.RequireTiling(header.Entries);

        // All of the data is read before any of it is used: the file may end early.
        using DeviceBuffer<byte> data = StateTransfer.ReadData(stream, total, cancellation);
        foreach (Buffer buffer in buffers)
        {
            if (buffer.Key.EndsWith('.' + DirectionSuffix, StringComparison.Ordinal)
                || buffer.Key.EndsWith('.' + SearchSuffix, StringComparison.Ordinal))
            {
                RequireFinite(
                    buffer.Key, (float*)((byte*)data.Pointer + entries[buffer.Key].Begin), buffer.Tensor.ElementCount);
            }
        }

        optimizer.ForgetThatMasterWeightsFit();
        optimizer.SetStates(metadata.Groups, metadata.Tensors);
        if (metadata.Dimer is { } state)
        {
            dimer!.Resume(state, order);
        }

        foreach (Buffer buffer in buffers)
        {
            DeviceMemory.CopyAndWait(
                buffer.Tensor.Device, (void*)buffer.Tensor.Pointer,
                (byte*)data.Pointer + entries[buffer.Key].Begin, buffer.Bytes, order);
        }
    }

    /// <summary>Everything that a file holds, in the file's order.</summary>
    private static List<Buffer> Buffers(
        Optimizer optimizer, DimerOptimizer? dimer, bool includeParameters, bool includeSearch, DeviceStream order)
    {
        ParameterSet set = optimizer.ParameterSet;
        IReadOnlyList<StateRole> roles = optimizer.StateRoles;
        List<Buffer> buffers = [];
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            if (includeParameters)
            {
                buffers.Add(new Buffer($"{set.Names[tensor]}.{ParameterSuffix}", set.GetParameter(tensor)));
            }

            foreach (StateRole role in roles)
            {
                TensorRef state = optimizer.GetState(role, tensor, order);
                bool hasNone = state.ElementCount == 0 && set.ElementCounts[tensor] > 0;
                if (!hasNone)
                {
                    buffers.Add(new Buffer($"{set.Names[tensor]}.{role}", state));
                }
            }

            if (dimer is not null)
            {
                buffers.Add(new Buffer($"{set.Names[tensor]}.{DirectionSuffix}", dimer.GetDirection(tensor)));
                if (includeSearch)
                {
                    buffers.Add(new Buffer($"{set.Names[tensor]}.{SearchSuffix}", dimer.GetRotationDirection(tensor)));
                }
            }
        }

        return buffers;
    }

    // A NaN there would switch the dimer off for good.
    private static void RequireFinite(string key, float* values, long count)
    {
        for (long i = 0; i < count; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                throw new InvalidDataException($"\"{key}\" holds {values[i]} in the file; a direction must be finite.");
            }
        }
    }

    /// <summary>
    /// The entry of each buffer, of the right type and size, and no others but those with a suffix that is passed over.
    /// </summary>
    private static Dictionary<string, SafetensorsEntry> RequireEntries(
        SafetensorsHeader header, List<Buffer> buffers, string? passedOver)
    {
        Dictionary<string, SafetensorsEntry> entries = header.Entries.ToDictionary(static entry => entry.Name);
        foreach (Buffer buffer in buffers)
        {
            if (!entries.TryGetValue(buffer.Key, out SafetensorsEntry? entry))
            {
                throw new InvalidDataException(
                    $"The file has no \"{buffer.Key}\"; it was saved with other options or by another model.");
            }

            long count = buffer.Count;
            if (entry.DType != buffer.DType || entry.Shape is not [long elements] || elements != count)
            {
                throw new InvalidDataException(
                    $"\"{buffer.Key}\" is {entry.DType} [{string.Join(", ", entry.Shape)}] in the file; "
                    + $"the optimizer has {buffer.DType} [{count}]."
                    + (buffer.IsDynamic8 != (entry.DType == DType.Dynamic8.SafetensorsName()) ? Dynamic8Remedy : ""));
            }

            if (entry.End - entry.Begin != buffer.Bytes)
            {
                throw new InvalidDataException(
                    $"\"{buffer.Key}\" has the bytes {entry.Begin} to {entry.End} in the file; it must have {buffer.Bytes}.");
            }
        }

        HashSet<string> expected = [.. buffers.Select(static buffer => buffer.Key)];
        bool IsExtra(SafetensorsEntry entry) =>
            !expected.Contains(entry.Name)
            && (passedOver is null || !entry.Name.EndsWith(passedOver, StringComparison.Ordinal));
        if (header.Entries.FirstOrDefault(IsExtra) is { } extra)
        {
            throw new InvalidDataException(
                $"The file has {Printable.Quoted(extra.Name)}, which the optimizer has not; it was saved with other options or by another "
                + "model.");
        }

        return entries;
    }

    private sealed record Buffer(string Key, TensorRef Tensor)
    {
        public long Bytes => Tensor.ByteCount;

        public bool IsDynamic8 => Tensor.DType == NativeOpt.DType.Dynamic8;

        /// <summary>Elements of the file's type: of Dynamic8 bytes, the scales among them.</summary>
        public long Count => IsDynamic8 ? Bytes : Tensor.ElementCount;

        public string DType => Tensor.DType.SafetensorsName();
    }
}
