namespace NativeOpt.Cli.Replay;

/// <summary>The tensors of a trace on a device, and the parameters on the host, too.</summary>
internal sealed class TraceTensors : IDisposable
{
    private readonly DeviceBuffer<float>[] _parameters;
    private readonly DeviceBuffer<float>[] _gradients;
    private readonly Dictionary<string, DeviceBuffer<float>[]> _inputs = [];

    public TraceTensors(IReadOnlyList<TraceTensor> tensors, Rule rule, Device device)
    {
        Parameters = [.. tensors.Select(static tensor => tensor.Parameter.ToArray())];
        _parameters = Allocate();
        _gradients = Allocate();
        foreach (RuleInput input in rule.Inputs)
        {
            _inputs.Add(input.Name, Allocate());
        }

        Write(_parameters, Parameters);
        Set = ParameterSet.FromBuffers(_parameters, _gradients);

        DeviceBuffer<float>[] Allocate() =>
            [.. Parameters.Select(tensor => new DeviceBuffer<float>(device, tensor.Length))];
    }

    public ParameterSet Set { get; }

    /// <summary>The parameters as they were at the last <see cref="ReadParameters"/>.</summary>
    public float[][] Parameters { get; }

    public TensorRef[] Gradients => [.. _gradients.Select(static gradient => (TensorRef)gradient)];

    public void WriteGradients(IReadOnlyList<float[]> gradients) => Write(_gradients, gradients);

    /// <summary>Gives an optimizer the inputs of a step, and none of those that the step does without.</summary>
    public void SetInputs(Optimizer optimizer, IReadOnlyDictionary<string, float[][]> inputs)
    {
        foreach ((string name, DeviceBuffer<float>[] buffers) in _inputs)
        {
            if (inputs.TryGetValue(name, out float[][]? values))
            {
                Write(buffers, values);
                optimizer.SetInput(name, [.. buffers.Select(static buffer => buffer.Pointer)]);
            }
            else
            {
                optimizer.ClearInput(name);
            }
        }
    }

    public void ReadParameters()
    {
        for (int i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].CopyTo(Parameters[i]);
        }
    }

    public void Dispose()
    {
        Set.Dispose();
        foreach (DeviceBuffer<float> buffer in _parameters.Concat(_gradients).Concat(_inputs.Values.SelectMany(static own => own)))
        {
            buffer.Dispose();
        }
    }

    private static void Write(DeviceBuffer<float>[] buffers, IReadOnlyList<float[]> values)
    {
        for (int i = 0; i < buffers.Length; i++)
        {
            buffers[i].CopyFrom(values[i]);
        }
    }
}
