namespace NativeOpt.Cli.Benchmarks;

/// <summary>What a pass over the elements does with one buffer.</summary>
/// <param name="Role">Whose buffer it is, as in state files.</param>
/// <param name="Bytes">Of an element.</param>
/// <param name="Reads">Whether it is read.</param>
/// <param name="Writes">Whether it is written.</param>
internal sealed record BenchStream(string Role, double Bytes, bool Reads, bool Writes)
{
    public double BytesMoved => Bytes * ((Reads ? 1 : 0) + (Writes ? 1 : 0));
}

/// <summary>
/// The bytes that a step has to move, buffer by buffer: each of them is read or written once in a pass, whatever caches do.
/// All numbers of bytes per element come from here.
/// </summary>
/// <param name="Passes">The passes, in order; each has to be over before the next can begin.</param>
internal sealed record StepTraffic(IReadOnlyList<IReadOnlyList<BenchStream>> Passes)
{
    public const string Param = "param";
    public const string Grad = "grad";
    public const string MasterParam = "master_param";
    public const string Direction = "direction";
    public const string ParamBackup = "param_backup";
    public const string GradBackup = "grad_backup";

    // A tensor of so many elements has no padding, whatever its type.
    private const int Elements = 1 << 14;

    /// <summary>The bytes that are read and written for each element.</summary>
    public double BytesPerElement => Passes.Sum(static pass => pass.Sum(static stream => stream.BytesMoved));

    /// <summary>The bytes of each tensor in each of the buffers that an optimizer works on.</summary>
    /// <param name="options">The optimizer's options.</param>
    /// <param name="type">The element type of parameters and gradients.</param>
    /// <param name="dimer">The options of a dimer around it; null: there is none.</param>
    /// <param name="counts">The elements of the tensors.</param>
    public static IReadOnlyDictionary<string, long[]> TensorBytes(
        RuleOptions options, DType type, DimerOptions? dimer, IReadOnlyList<long> counts)
    {
        HashSet<string> states = [.. options.GetStates().Select(static state => state.Name)];
        return ElementBytes(options, type, dimer).ToDictionary(
            static role => role.Key,
            role => counts.Select(count => states.Contains(role.Key)
                ? StateType(options, count).ByteCount(count) : (long)(count * role.Value)).ToArray());
    }

    // In small tensors, states are float32 in place of 8 bits.
    private static DType StateType(RuleOptions options, long count) =>
        options.StateType == DType.Dynamic8 && count < options.MinDynamic8ElementCount ? DType.Float32 : options.StateType;

    private static Dictionary<string, double> ElementBytes(OptimizerOptions options, DType type, DimerOptions? dimer)
    {
        OptimizerMemory memory = OptimizerMemory.Of(options, [new TensorSpec(Elements, type)], dimer);
        Dictionary<string, double> bytes = new()
        {
            [Param] = (double)memory.ParameterBytes / Elements,
            [Grad] = (double)memory.GradientBytes / Elements,
        };
        foreach (BufferMemory buffer in memory.Buffers)
        {
            bytes.Add(buffer.Role, (double)buffer.Bytes / Elements);
        }

        return bytes;
    }

    /// <summary>What some work moves. Steps do without the inputs of a rule, which hosts give in few of their steps.</summary>
    /// <param name="work">The work.</param>
    /// <param name="bytes">The bytes of an element in each buffer, see <see cref="BenchCase.ElementBytes"/>.</param>
    public static StepTraffic Of(BenchWork work, IReadOnlyDictionary<string, double> bytes)
    {
        // Float32 masters are what a step starts from; the parameter is their rounded copy.
        bool hasMaster = bytes.ContainsKey(MasterParam);
        BenchStream[] states =
        [
            .. bytes.Keys.Except([Param, Grad, Direction, ParamBackup, GradBackup])
                .Select(role => new BenchStream(role, bytes[role], Reads: true, Writes: true)),
        ];
        return work switch
        {
            BenchWork.Step => new([[Stream(Param, !hasMaster, true), Read(Grad), .. states]]),
            BenchWork.CachedStep => new(
            [
                [Read(Grad), Read(Direction)],
                [Stream(Param, !hasMaster, true), Read(Grad), Read(Direction), .. states],
            ]),
            BenchWork.Update => new(
            [
                [Read(Grad), Read(GradBackup), Read(Direction)],
                [
                    Stream(Param, false, true), .. hasMaster ? Array.Empty<BenchStream>() : [Read(ParamBackup)], Read(Grad),
                    Read(GradBackup), Stream(Direction, true, true), .. states,
                ],
            ]),
            _ => new(
            [
                [
                    Stream(Param, true, true), Read(Direction), Stream(ParamBackup, false, true), Read(Grad),
                    Stream(GradBackup, false, true),
                ],
            ]),
        };

        BenchStream Read(string role) => Stream(role, true, false);
        BenchStream Stream(string role, bool reads, bool writes) => new(role, bytes[role], reads, writes);
    }
}
