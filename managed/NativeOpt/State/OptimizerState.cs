using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What a state file holds: an optimizer's scalars and state buffers, perhaps those of a dimer and
/// the parameters too.</summary>
internal static unsafe class OptimizerState
{
    public const string Format = "nativeopt-state/1";
    public const string FormatKey = "format";
    private const string RuleKey = "rule";
    private const string StepKey = "step";
    private const string Beta1ProductKey = "beta1_product";
    private const string Beta2ProductKey = "beta2_product";
    private const string GroupCountKey = "group_count";
    private const string GroupSuffix = ".group";
    private const string VersionKey = "library_version";
    private const string DimerScopeKey = "dimer_scope";
    private const string DimerSeedKey = "dimer_seed";
    private const string DimerStepKey = "dimer_step";
    private const string DimerGradientEvaluationsKey = "dimer_gradient_evaluations";
    private const string DimerCurvatureKey = "dimer_curvature";

    // What tensors of U8 are: the states of Dynamic8, block by block, as the C header defines it.
    private const string BytesTypeKey = "u8_dtype";
    private const string Dynamic8Name = "dynamic8";
    private const string ParameterSuffix = "param";
    private const string DirectionSuffix = "direction";

    private const string Dynamic8Remedy =
        " U8 is a state of Dynamic8: make the optimizer with the StateType and the MinDynamic8ElementCount of the one that was "
        + "saved.";

    private static readonly string[] Keys =
        [FormatKey, RuleKey, StepKey, Beta1ProductKey, Beta2ProductKey, GroupCountKey, VersionKey, BytesTypeKey];

    private static readonly string[] DimerKeys =
        [DimerScopeKey, DimerSeedKey, DimerStepKey, DimerGradientEvaluationsKey, DimerCurvatureKey];

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
        nopt_step_state[] states = [.. optimizer.Groups.Select(static group => group.StepState)];
        List<SafetensorsEntry> entries = [];

        // Wider types first, so that each lies at a multiple of its element: other readers cannot view it elsewhere.
        List<Buffer> buffers =
        [
            .. Buffers(optimizer, dimer, includeParameters, order)
                .OrderByDescending(static buffer => buffer.Tensor.DType.ElementByteCount()),
        ];
        long end = 0;
        foreach (Buffer buffer in buffers)
        {
            long begin = end;
            end += buffer.Bytes;
            entries.Add(new SafetensorsEntry(buffer.Key, buffer.DType, [buffer.Count], begin, end));
        }

        Dictionary<string, string> metadata = new()
        {
            [FormatKey] = Format,
            [RuleKey] = optimizer.RuleName,
            [StepKey] = OfEach(states, static state => state.step.ToString(CultureInfo.InvariantCulture)),
            [Beta1ProductKey] =
                OfEach(states, static state => state.beta1_product.ToString("R", CultureInfo.InvariantCulture)),
            [Beta2ProductKey] =
                OfEach(states, static state => state.beta2_product.ToString("R", CultureInfo.InvariantCulture)),
            [VersionKey] = NativeRuntime.Version,
        };
        if (states.Length > 1)
        {
            ParameterSet set = optimizer.ParameterSet;
            metadata[GroupCountKey] = states.Length.ToString(CultureInfo.InvariantCulture);
            for (int tensor = 0; tensor < set.Count; tensor++)
            {
                metadata[set.Names[tensor] + GroupSuffix] = set.GetGroup(tensor).ToString(CultureInfo.InvariantCulture);
            }
        }

        if (buffers.Exists(static buffer => buffer.IsDynamic8))
        {
            metadata[BytesTypeKey] = Dynamic8Name;
        }

        if (dimer is not null)
        {
            metadata[DimerScopeKey] = ScopeText(dimer);
            metadata[DimerSeedKey] = dimer.Options.Seed.ToString(CultureInfo.InvariantCulture);
            metadata[DimerStepKey] = dimer.StepCount.ToString(CultureInfo.InvariantCulture);
            metadata[DimerGradientEvaluationsKey] = dimer.GradientEvaluations.ToString(CultureInfo.InvariantCulture);
            metadata[DimerCurvatureKey] = dimer.CurvatureText;
        }

        stream.Write(new SafetensorsHeader(metadata, entries).ToBytes());
        foreach (Buffer buffer in buffers)
        {
            StateTransfer.Write(stream, buffer.Tensor, order, cancellation);
        }

        StateTransfer.RequireNoStepSince(optimizer, states[0].step);
    }

    /// <summary>Loads an optimizer, and the dimer around it unless that is null.</summary>
    public static void Load(
        Optimizer optimizer, DimerOptimizer? dimer, Stream stream, DeviceStream order, CancellationToken cancellation)
    {
        optimizer.RequireNotDisplaced();
        SafetensorsHeader header = SafetensorsHeader.Read(stream);
        RequireKnownKeys(header.Metadata, dimer);
        DimerScalars dimerState = dimer is null ? default : ReadDimerScalars(dimer, header.Metadata);
        nopt_step_state[] states = ReadScalars(optimizer, header.Metadata);
        bool hasParameters = header.Entries.Any(
            static entry => entry.Name.EndsWith('.' + ParameterSuffix, StringComparison.Ordinal));
        List<Buffer> buffers = Buffers(optimizer, dimer, hasParameters, order);
        Dictionary<string, SafetensorsEntry> entries = RequireEntries(header, buffers);
        if (buffers.Exists(static buffer => buffer.IsDynamic8))
        {
            RequireValue(header.Metadata, BytesTypeKey, Dynamic8Name);
        }

        long total = StateTransfer.RequireTiling(header.Entries);

        // All of the data is read before any of it is used: the file may end early.
        using DeviceBuffer<byte> data = StateTransfer.ReadData(stream, total, cancellation);
        foreach (Buffer buffer in buffers)
        {
            if (buffer.Key.EndsWith('.' + DirectionSuffix, StringComparison.Ordinal))
            {
                RequireFinite(
                    buffer.Key, (float*)((byte*)data.Pointer + entries[buffer.Key].Begin), buffer.Tensor.ElementCount);
            }
        }

        for (int group = 0; group < states.Length; group++)
        {
            optimizer.Groups[group].StepState = states[group];
        }

        dimer?.Resume(
            dimerState.Curvature, dimerState.Seed, dimerState.Step, dimerState.GradientEvaluations, order);
        foreach (Buffer buffer in buffers)
        {
            DeviceMemory.CopyAndWait(
                buffer.Tensor.Device, (void*)buffer.Tensor.Pointer,
                (byte*)data.Pointer + entries[buffer.Key].Begin, buffer.Bytes, order);
        }
    }

    /// <summary>Everything that a file holds, in the file's order.</summary>
    private static List<Buffer> Buffers(
        Optimizer optimizer, DimerOptimizer? dimer, bool includeParameters, DeviceStream order)
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
                    buffers.Add(new Buffer($"{set.Names[tensor]}.{StateTransfer.NameOf(role)}", state));
                }
            }

            if (dimer is not null)
            {
                buffers.Add(new Buffer($"{set.Names[tensor]}.{DirectionSuffix}", dimer.GetDirection(tensor)));
            }
        }

        return buffers;
    }

    /// <summary>The step count and products of each group.</summary>
    private static nopt_step_state[] ReadScalars(Optimizer optimizer, IReadOnlyDictionary<string, string> metadata)
    {
        RequireValue(metadata, FormatKey, Format);
        RequireValue(metadata, RuleKey, optimizer.RuleName);
        RequireGroups(optimizer, metadata);
        int count = optimizer.Groups.Count;
        long[] steps = ReadOfEach(metadata, StepKey, count, ParseCount);
        double[] beta1Products = ReadOfEach(metadata, Beta1ProductKey, count, ParseProduct);
        double[] beta2Products = ReadOfEach(metadata, Beta2ProductKey, count, ParseProduct);
        return
        [
            .. Enumerable.Range(0, count).Select(group => new nopt_step_state
            {
                struct_size = (uint)sizeof(nopt_step_state),
                step = steps[group],
                beta1_product = beta1Products[group],
                beta2_product = beta2Products[group],
            }),
        ];
    }

    /// <summary>Throws unless the file's groups are the optimizer's. One that says nothing of groups has one.</summary>
    private static void RequireGroups(Optimizer optimizer, IReadOnlyDictionary<string, string> metadata)
    {
        long count = metadata.ContainsKey(GroupCountKey) ? ParseCount(GroupCountKey, Value(metadata, GroupCountKey)) : 1;
        if (count != optimizer.Groups.Count)
        {
            throw new InvalidDataException(
                $"The file has {count} groups of hyperparameters, the optimizer has {optimizer.Groups.Count}. Load it with one of "
                + "the same groups; another optimizer can then take the states over (TakeOver).");
        }

        ParameterSet set = optimizer.ParameterSet;
        HashSet<string> known = [];
        for (int tensor = 0; tensor < set.Count && count > 1; tensor++)
        {
            string key = set.Names[tensor] + GroupSuffix;
            known.Add(key);
            long group = ParseCount(key, Value(metadata, key));
            if (group != set.GetGroup(tensor))
            {
                throw new InvalidDataException(
                    $"In the file, {StateTransfer.Describe(set, tensor)} is in group {group}; in the set it is in group "
                    + $"{set.GetGroup(tensor)}.");
            }
        }

        if (metadata.Keys.FirstOrDefault(key => IsOfGroup(key) && !known.Contains(key)) is { } unknown)
        {
            throw new InvalidDataException(
                $"The file's metadata has \"{unknown}\", but the set has no such tensor in a group; it was saved by another "
                + "model.");
        }
    }

    private static bool IsOfGroup(string key) => key.EndsWith(GroupSuffix, StringComparison.Ordinal);

    private static string OfEach(nopt_step_state[] states, Func<nopt_step_state, string> text) =>
        string.Join(' ', states.Select(text));

    private static T[] ReadOfEach<T>(
        IReadOnlyDictionary<string, string> metadata, string key, int count, Func<string, string, T> parse)
    {
        string text = Value(metadata, key);
        string[] numbers = count == 1 ? [text] : text.Split(' ');
        return numbers.Length == count
            ? [.. numbers.Select(number => parse(key, number))]
            : throw new InvalidDataException($"The file's {key} is \"{text}\"; it must be {count} numbers, one for each group.");
    }

    private static DimerScalars ReadDimerScalars(DimerOptimizer dimer, IReadOnlyDictionary<string, string> metadata)
    {
        RequireValue(metadata, DimerScopeKey, ScopeText(dimer));
        string text = Value(metadata, DimerSeedKey);
        if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            throw new InvalidDataException($"The file's {DimerSeedKey} is \"{text}\"; it must be a whole number of 64 bits.");
        }

        string[] numbers = Value(metadata, DimerCurvatureKey).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (numbers.Length != dimer.ScopeCount)
        {
            throw new InvalidDataException(
                $"The file's {DimerCurvatureKey} has {numbers.Length} numbers; the dimer has {dimer.ScopeCount} scopes.");
        }

        double[] curvature = new double[numbers.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (!double.TryParse(numbers[i], NumberStyles.Float, CultureInfo.InvariantCulture, out curvature[i])
                || double.IsInfinity(curvature[i]))
            {
                throw new InvalidDataException(
                    $"The file's {DimerCurvatureKey} has \"{numbers[i]}\"; it must be finite numbers, or NaN for none.");
            }
        }

        return new DimerScalars(
            curvature, seed, ReadCount(metadata, DimerStepKey), ReadCount(metadata, DimerGradientEvaluationsKey));
    }

    private static void RequireKnownKeys(IReadOnlyDictionary<string, string> metadata, DimerOptimizer? dimer)
    {
        if (dimer is null && metadata.ContainsKey(DimerScopeKey))
        {
            throw new InvalidDataException(
                "The file is of an optimizer with a dimer around it; load it with a DimerOptimizer.");
        }

        if (dimer is not null && !metadata.ContainsKey(DimerScopeKey))
        {
            throw new InvalidDataException(
                $"The file's metadata has no {DimerScopeKey}: it is of an optimizer without a dimer; load it with the "
                + "optimizer itself.");
        }

        if (metadata.Keys.FirstOrDefault(key => !Keys.Contains(key) && !DimerKeys.Contains(key) && !IsOfGroup(key)) is
            { } unknown)
        {
            throw new InvalidDataException($"The metadata has \"{unknown}\", which {Format} does not know.");
        }
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

    private static string ScopeText(DimerOptimizer dimer) =>
        dimer.Options.Scope == DimerScope.Global ? "global" : "per-tensor";

    private static long ReadCount(IReadOnlyDictionary<string, string> metadata, string key) =>
        ParseCount(key, Value(metadata, key));

    private static long ParseCount(string key, string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long count)
            ? count
            : throw new InvalidDataException($"The file's {key} is \"{text}\"; it must be a whole number from 0.");

    private static double ParseProduct(string key, string text)
    {
        const NumberStyles Styles = NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        return double.TryParse(text, Styles, CultureInfo.InvariantCulture, out double product) && product is >= 0 and <= 1
            ? product
            : throw new InvalidDataException($"The file's {key} is \"{text}\"; it must be a number in [0, 1].");
    }

    private static string Value(IReadOnlyDictionary<string, string> metadata, string key) =>
        metadata.TryGetValue(key, out string? value)
            ? value
            : throw new InvalidDataException($"The file's metadata has no {key}; it must be a {Format} file.");

    private static void RequireValue(IReadOnlyDictionary<string, string> metadata, string key, string expected)
    {
        string value = Value(metadata, key);
        if (value != expected)
        {
            throw new InvalidDataException($"The file's {key} is \"{value}\", not \"{expected}\".");
        }
    }

    /// <summary>The entry of each buffer, of the right type and size, and no others.</summary>
    private static Dictionary<string, SafetensorsEntry> RequireEntries(SafetensorsHeader header, List<Buffer> buffers)
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
        if (header.Entries.FirstOrDefault(entry => !expected.Contains(entry.Name)) is { } extra)
        {
            throw new InvalidDataException(
                $"The file has \"{extra.Name}\", which the optimizer has not; it was saved with other options or by another "
                + "model.");
        }

        return entries;
    }

    private readonly record struct DimerScalars(
        double[] Curvature, ulong Seed, long Step, long GradientEvaluations);

    private sealed record Buffer(string Key, TensorRef Tensor)
    {
        public long Bytes => Tensor.ByteCount;

        public bool IsDynamic8 => Tensor.DType == NativeOpt.DType.Dynamic8;

        /// <summary>Elements of the file's type: of Dynamic8 bytes, the scales among them.</summary>
        public long Count => IsDynamic8 ? Bytes : Tensor.ElementCount;

        public string DType => Tensor.DType.SafetensorsName();
    }
}
