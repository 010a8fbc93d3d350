using System.Globalization;
using System.Text;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Reads and checks all of what TorchSharp's <c>save_state_dict</c> wrote, before any of it is used.</summary>
internal sealed class TorchSharpReader : IDisposable
{
    // Of more than this no name is; another file's first bytes may say anything.
    private const int MaxNameBytes = 64;
    private const int MaxDimensions = 64;

    private readonly Optimizer _optimizer;
    private readonly ParameterSet _set;
    private readonly SavedHyperparameters _hyperparameters;
    private readonly DeviceStream _order;
    private readonly string _name;
    private readonly List<Source> _sources = [];
    private string _where = "its first bytes";

    public TorchSharpReader(Optimizer optimizer, SavedHyperparameters hyperparameters, DeviceStream order)
    {
        _optimizer = optimizer;
        _hyperparameters = hyperparameters;
        _set = optimizer.ParameterSet;
        _order = order;
        _name = TorchSharpFormat.NameOf(optimizer);
    }

    /// <summary>Reads and checks everything, and changes nothing.</summary>
    /// <returns>What sets the hyperparameters, if they are to be taken over, and the step counts, if the file has any.</returns>
    public Action Read(Stream stream, CancellationToken cancellation)
    {
        using BinaryReader reader = new(stream, Encoding.UTF8, leaveOpen: true);
        try
        {
            RequireClass(reader, _name);
            long groupCount = ReadCounts(reader);
            (nopt_hyperparams[] hyperparameters, Action takeOver) = ReadGroups(reader, groupCount, cancellation);
            if (_name == TorchSharpFormat.SgdName)
            {
                bool[] hasBuffer = new bool[_set.Count];
                for (int tensor = 0; tensor < _set.Count; tensor++)
                {
                    hasBuffer[tensor] = ReadIfAny(reader, StateRole.MomentumBuffer, tensor, cancellation);
                }

                Action countSteps = StateTransfer.CountedByBuffers(_optimizer, hasBuffer, cancellation);
                return () =>
                {
                    countSteps();
                    takeOver();
                };
            }

            long[] steps = new long[_set.Count];
            for (int tensor = 0; tensor < _set.Count; tensor++)
            {
                steps[tensor] = ReadStep(reader, tensor);
                ReadState(reader, StateRole.ExpAvg, tensor, cancellation);
                ReadState(reader, StateRole.ExpAvgSq, tensor, cancellation);
                ReadIfAny(reader, StateRole.MaxExpAvgSq, tensor, cancellation);
            }

            return StateTransfer.Counted(_optimizer, steps, hyperparameters, cancellation) + takeOver;
        }
        catch (Exception exception) when (exception is EndOfStreamException or FormatException)
        {
            // FormatException: of a count that is none.
            throw new InvalidDataException(
                exception is FormatException ? $"In the file, {_where} is no number." : $"The file ends within {_where}.",
                exception);
        }
    }

    /// <summary>Copies the states that were read to where they belong.</summary>
    public void CopyStates()
    {
        foreach (Source read in _sources)
        {
            read.Copy.Run(_order);
        }
    }

    public void Dispose() => _sources.ForEach(static read => read.Data.Dispose());

    /// <summary>Reads the number of parameter groups and that of parameters.</summary>
    /// <returns>The number of parameter groups.</returns>
    private long ReadCounts(BinaryReader reader)
    {
        _where = "the number of parameter groups";
        long groupCount = reader.Read7BitEncodedInt64();
        _where = "the number of parameters";
        long count = reader.Read7BitEncodedInt64();
        if (count != _set.Count)
        {
            throw new InvalidDataException($"The file has {count} parameters; the set has {_set.Count}.");
        }

        return groupCount >= 1
            ? groupCount
            : throw new InvalidDataException($"The file has {groupCount} parameter groups; it must have at least 1.");
    }

    /// <summary>Reads the options of the file's groups.</summary>
    /// <returns>The hyperparameters of each group here, with the file's betas, and what has the groups take on all of the file's.</returns>
    private (nopt_hyperparams[] WithBetas, Action TakeOver) ReadGroups(
        BinaryReader reader, long groupCount, CancellationToken cancellation)
    {
        // All of the file's groups are parts of a single group here; several groups here have to be those of the file.
        List<TorchSharpRun> runs = TorchSharpFormat.RunsOf(_optimizer);
        if (_optimizer.Groups.Count > 1 && groupCount != runs.Count)
        {
            throw new InvalidDataException(
                $"The file has {groupCount} parameter groups, but the set has {runs.Count} runs of tensors with the same "
                + "group, learning-rate scale and weight decay, and the file does not say which parameters are in which "
                + "group. Load it with an optimizer of one group; another one can then take the states over (TakeOver).");
        }

        nopt_hyperparams[] hyperparameters = [.. _optimizer.Groups.Select(static group => group.Hyperparameters)];
        (long Group, double Beta1, double Beta2)?[] betas = new (long, double, double)?[hyperparameters.Length];
        List<TorchSharpOptions> groups = [];
        for (long group = 0; group < groupCount; group++)
        {
            cancellation.ThrowIfCancellationRequested();
            _where = $"the options of parameter group {group}";
            int here = betas.Length == 1 ? 0 : runs[(int)group].Group;
            groups.Add(ReadOptions(reader, _optimizer.Groups[here], _name, group));
            (double beta1, double beta2) = (groups[^1]["beta1"], groups[^1]["beta2"]);
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

            if (_name != TorchSharpFormat.SgdName)
            {
                hyperparameters[here].values[_optimizer.Rule.GetHyperparameter("beta1").Index] = beta1;
                hyperparameters[here].values[_optimizer.Rule.GetHyperparameter("beta2").Index] = beta2;
            }
        }

        TorchSharpOptionsMatch match = new(_optimizer, groups, runs);
        switch (_hyperparameters)
        {
            case SavedHyperparameters.Keep:
                return (hyperparameters, static () => { });
            case SavedHyperparameters.TakeOver:
                return (hyperparameters, match.TakeOver(_order));
            default:
                match.Require();
                return (hyperparameters, static () => { });
        }
    }

    private long ReadStep(BinaryReader reader, int tensor)
    {
        _where = $"the step of {StateTransfer.Describe(_set, tensor)}";
        long step = reader.ReadInt64();
        return step is >= 0 and <= OptimizerGroup.MaxStepCount
            ? step
            : throw new InvalidDataException($"In the file, {_where} is {step}; it must be at least 0 and at most 2^53.");
    }

    private void ReadState(BinaryReader reader, StateRole role, int tensor, CancellationToken cancellation)
    {
        _where = $"{role} of {StateTransfer.Describe(_set, tensor)}";
        TensorRef destination = _optimizer.GetState(role, tensor, _order);
        _sources.Add(ReadTensor(reader, _where, destination, _optimizer.IsSigned(role), cancellation));
    }

    private bool ReadIfAny(BinaryReader reader, StateRole role, int tensor, CancellationToken cancellation)
    {
        string state = $"{role} of {StateTransfer.Describe(_set, tensor)}";
        _where = $"whether there is {state}";
        bool isThere = ReadFlag(reader, _where);
        bool isHere = _optimizer.StateRoles.Contains(role);
        if (isThere && isHere)
        {
            ReadState(reader, role, tensor, cancellation);
        }
        else if (isHere && role == StateRole.MomentumBuffer)
        {
            // TorchSharp makes it at the first step, from the gradient, as a buffer of zeros becomes then.
            TensorRef buffer = _optimizer.GetState(role, tensor, _order);
            DeviceBuffer<byte> zeros = new(Device.Cpu, buffer.ByteCount);
            _sources.Add(new Source(zeros, new ExactCopy(state, zeros.Pointer, buffer.DType, buffer, IsSigned: true)));
        }
        else if (isThere || isHere)
        {
            throw new InvalidDataException(
                isThere
                    ? $"The file has {state}, which the optimizer with its options has not."
                    : $"The file has no {state}, which the optimizer has.");
        }

        return isThere;
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
    private static TorchSharpOptions ReadOptions(BinaryReader reader, OptimizerGroup here, string name, long group)
    {
        double initialLearningRate = reader.ReadDouble();
        double learningRate = reader.ReadDouble();
        double weightDecay;
        string where = $"of parameter group {group}";
        if (name == TorchSharpFormat.SgdName)
        {
            double momentum = reader.ReadDouble();
            double dampening = reader.ReadDouble();
            weightDecay = reader.ReadDouble();
            bool isNesterov = ReadFlag(reader, $"nesterov {where}");
            if (dampening != here["dampening"])
            {
                throw new InvalidDataException(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"dampening {where} is {dampening} in the file, and {here["dampening"]} here. Make the optimizer with that of the file."));
            }

            RequireFlag($"maximize {where}", ReadFlag(reader, $"maximize {where}"), false);
            return new TorchSharpOptions(
                here.Index, initialLearningRate,
                [("lr", learningRate), ("momentum", momentum), ("weight_decay", weightDecay)], [("nesterov", isNesterov)]);
        }

        double beta1 = ReadBeta($"beta1 {where}");
        double beta2 = ReadBeta($"beta2 {where}");
        double eps = reader.ReadDouble();
        weightDecay = reader.ReadDouble();
        RequireFlag(
            $"amsgrad {where}", ReadFlag(reader, $"amsgrad {where}"), here.HasFlag("amsgrad"));
        RequireFlag(
            $"maximize {where}", ReadFlag(reader, $"maximize {where}"), here.HasFlag("maximize"));
        return new TorchSharpOptions(
            here.Index, initialLearningRate,
            [("lr", learningRate), ("beta1", beta1), ("beta2", beta2), ("eps", eps), ("weight_decay", weightDecay)], []);

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

    private static Source ReadTensor(
        BinaryReader reader, string what, TensorRef destination, bool isSigned, CancellationToken cancellation)
    {
        long code = reader.Read7BitEncodedInt64();
        DType type = code switch
        {
            TorchSharpFormat.Float16Code => DType.Float16,
            TorchSharpFormat.Float32Code => DType.Float32,
            TorchSharpFormat.BFloat16Code => DType.BFloat16,
            _ => throw new InvalidDataException(
                $"In the file, {what} has element type {code}; it must be {TorchSharpFormat.Float32Code} (float32), {TorchSharpFormat.BFloat16Code} (bfloat16) or "
                + $"{TorchSharpFormat.Float16Code} (float16)."),
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

        DeviceBuffer<byte> data = new(Device.Cpu, type.ByteCount(destination.ElementCount));
        try
        {
            if (!StateTransfer.TryRead(reader.BaseStream, data, cancellation))
            {
                throw new EndOfStreamException();
            }

            ExactCopy copy = new(what, data.Pointer, type, destination, isSigned);
            copy.Require();
            return new Source(data, copy);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    private sealed record Source(DeviceBuffer<byte> Data, ExactCopy Copy);
}
