namespace NativeOpt;

/// <summary>Writes the state of an optimizer as TorchSharp's <c>save_state_dict</c> does.</summary>
internal sealed class TorchSharpWriter
{
    private readonly Optimizer _optimizer;
    private readonly ParameterSet _set;
    private readonly IReadOnlyList<long[]> _shapes;
    private readonly DeviceStream _order;
    private readonly string _name;
    private readonly RuleState[] _states;
    private readonly DType[] _types;

    /// <summary>Checks that TorchSharp has such an optimizer, and that nothing has to be rounded.</summary>
    public TorchSharpWriter(Optimizer optimizer, IReadOnlyList<long[]> shapes, DeviceStream order)
    {
        _optimizer = optimizer;
        _set = optimizer.ParameterSet;
        _shapes = shapes;
        _order = order;
        _name = TorchSharpFormat.NameOf(optimizer);
        RequireShapes();
        _states = StateTransfer.RulesStates(optimizer);
        _types = WrittenTypes();
    }

    public void Write(Stream destination, CancellationToken cancellation)
    {
        List<TorchSharpRun> runs = TorchSharpFormat.RunsOf(_optimizer);
        _order.Synchronize(_set.Device);
        long stepsOfOptimizer = _optimizer.StepCount;
        long[] steps = [.. _optimizer.TensorStates().Select(static state => state.step)];
        Write(destination, writer =>
        {
            writer.Write(_name);
            writer.Write7BitEncodedInt64(runs.Count);
            writer.Write7BitEncodedInt64(_set.Count);
            runs.ForEach(run => WriteOptions(writer, run));
        });
        for (int tensor = 0; tensor < _set.Count; tensor++)
        {
            if (_name == TorchSharpFormat.SgdName)
            {
                WriteIfAny(StateRole.MomentumBuffer, tensor);
            }
            else
            {
                long step = steps[tensor];
                Write(destination, writer => writer.Write(step));
                WriteState(Find(StateRole.ExpAvg)!, tensor);
                WriteState(Find(StateRole.ExpAvgSq)!, tensor);
                WriteIfAny(StateRole.MaxExpAvgSq, tensor);
            }
        }

        StateTransfer.RequireNoStepSince(_optimizer, stepsOfOptimizer);

        void WriteIfAny(StateRole role, int tensor)
        {
            RuleState? state = Find(role);
            Write(destination, writer => writer.Write(state is not null));
            if (state is not null)
            {
                WriteState(state, tensor);
            }
        }

        void WriteState(RuleState described, int tensor)
        {
            Write(destination, writer => WriteHead(writer, _types[tensor], _shapes[tensor]));
            TensorRef state = _optimizer.GetState(described.Role, tensor, _order);
            if (state.DType == _types[tensor])
            {
                StateTransfer.Write(destination, state, _order, cancellation);
            }
            else
            {
                StateTransfer.WriteSingles(destination, state, described.IsSigned, _order, cancellation);
            }
        }
    }

    private RuleState? Find(StateRole role) => Array.Find(_states, state => state.Role == role);

    private void RequireShapes()
    {
        _set.RequireCount(_shapes.Count, "shapes");
        for (int tensor = 0; tensor < _set.Count; tensor++)
        {
            long[] shape = _shapes[tensor] ?? throw new ArgumentException($"shapes[{tensor}] is null.", "shapes");
            if (!StateTransfer.HasElements(shape, _set.ElementCounts[tensor]))
            {
                throw new ArgumentException(
                    $"shapes[{tensor}] is [{string.Join(", ", shape)}], but the parameter has {_set.ElementCounts[tensor]} "
                    + "elements.",
                    "shapes");
            }
        }
    }

    /// <summary>The type of each tensor's states in the file: the parameter's, as long as nothing is rounded.</summary>
    private DType[] WrittenTypes()
    {
        DType[] types = _set.ParameterLayout.Types.ToArray();
        for (int tensor = 0; tensor < types.Length; tensor++)
        {
            foreach (RuleState described in _states)
            {
                DType state = _optimizer.GetState(described.Role, tensor, _order).DType;
                if (types[tensor] != state && types[tensor] != DType.Float32)
                {
                    throw new NotSupportedException(
                        $"TorchSharp keeps states in the parameter's type, and {StateTransfer.Describe(_set, tensor)} is "
                        + $"{types[tensor]}, but its states are {state} and would have to be rounded.");
                }
            }
        }

        return types;
    }

    private void WriteOptions(BinaryWriter writer, TorchSharpRun run)
    {
        OptimizerGroup group = _optimizer.Groups[run.Group];
        writer.Write(run.LearningRate);
        writer.Write(run.LearningRate);
        if (_name == TorchSharpFormat.SgdName)
        {
            writer.Write(group["momentum"]);
            writer.Write(group["dampening"]);
            writer.Write(run.WeightDecay);
            writer.Write(group.HasFlag("nesterov"));
        }
        else
        {
            writer.Write(group["beta1"]);
            writer.Write(group["beta2"]);
            writer.Write(group["eps"]);
            writer.Write(run.WeightDecay);
            writer.Write(group.HasFlag("amsgrad"));
        }

        writer.Write(group.HasFlag("maximize"));
    }

    private static void WriteHead(BinaryWriter writer, DType type, long[] shape)
    {
        writer.Write7BitEncodedInt64(type switch
        {
            DType.Float32 => TorchSharpFormat.Float32Code,
            DType.BFloat16 => TorchSharpFormat.BFloat16Code,
            _ => TorchSharpFormat.Float16Code,
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
}
