namespace NativeOpt.Cli.Training;

/// <summary>
/// A model's parameters as an optimizer sees them. On the CPU they are the model's own arrays, updated in place. On a GPU
/// there is a copy of them: each step copies the gradients there and the parameters back, since this trainer computes
/// gradients on the CPU. A trainer that has its tensors on the GPU would copy nothing.
/// </summary>
internal sealed class OptimizedParameters : IDisposable
{
    private readonly IReadOnlyList<GptParameter> _host;
    private readonly DeviceBuffer<float>[] _parameters = [];
    private readonly DeviceBuffer<float>[] _gradients = [];

    /// <summary>Registers a model's parameters.</summary>
    /// <param name="host">The parameters.</param>
    /// <param name="device">Where the optimizer runs.</param>
    /// <param name="inPlace">Whether it works on the model's own arrays; only on the CPU.</param>
    public OptimizedParameters(IReadOnlyList<GptParameter> host, Device device, bool inPlace)
    {
        _host = host;

        // As usual: biases and gains do not decay.
        TensorOptions[] options =
        [
            .. host.Select(static parameter => new TensorOptions
            {
                Name = parameter.Name,
                WeightDecay = parameter.IsMatrix ? null : 0,
            }),
        ];
        if (inPlace)
        {
            Set = ParameterSet.FromArrays(
                [.. host.Select(static parameter => parameter.Value)],
                [.. host.Select(static parameter => parameter.Gradient)],
                options);
            return;
        }

        _parameters = [.. host.Select(parameter => new DeviceBuffer<float>(device, parameter.Value.Length))];
        _gradients = [.. host.Select(parameter => new DeviceBuffer<float>(device, parameter.Value.Length))];
        for (int i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].CopyFrom(host[i].Value);
        }

        Set = ParameterSet.FromBuffers(_parameters, _gradients, options);
    }

    /// <summary>What the optimizer is made for.</summary>
    public ParameterSet Set { get; }

    /// <summary>Does something with the gradients of the model, a step or a displacement; its parameters are new on return.
    /// </summary>
    public void Update(Action update)
    {
        for (int i = 0; i < _gradients.Length; i++)
        {
            _gradients[i].CopyFrom(_host[i].Gradient);
        }

        update();
        for (int i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].CopyTo(_host[i].Value);
        }
    }

    public void Dispose()
    {
        Set.Dispose();
        foreach (DeviceBuffer<float> buffer in _parameters.Concat(_gradients))
        {
            buffer.Dispose();
        }
    }
}
