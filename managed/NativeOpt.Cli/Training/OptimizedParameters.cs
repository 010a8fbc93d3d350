using System.Runtime.InteropServices;

namespace NativeOpt.Cli.Training;

/// <summary>
/// A model's parameters as an optimizer sees them. On the CPU they are the model's own arrays, updated in place. On a GPU,
/// or in another element type, there is a copy of them: each step copies the gradients there and the parameters back, since
/// this trainer computes gradients on the CPU and in float32. A trainer that has its tensors where and as the optimizer
/// takes them would copy nothing.
/// </summary>
internal sealed class OptimizedParameters : IDisposable
{
    private readonly IReadOnlyList<GptParameter> _host;
    private readonly Copy[] _parameters = [];
    private readonly Copy[] _gradients = [];

    /// <summary>Registers a model's parameters. In a type of 16 bits the model's own are rounded to it.</summary>
    /// <param name="host">The parameters.</param>
    /// <param name="device">Where the optimizer runs.</param>
    /// <param name="inPlace">Whether it works on the model's own arrays; only on the CPU and in float32.</param>
    /// <param name="type">The element type of the optimizer's parameters and gradients: float32 or bfloat16.</param>
    public OptimizedParameters(
        IReadOnlyList<GptParameter> host, Device device, bool inPlace, DType type = DType.Float32)
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

        _parameters = [.. host.Select(parameter => new Copy(device, type, parameter.Value.Length))];
        _gradients = [.. host.Select(parameter => new Copy(device, type, parameter.Value.Length))];
        for (int i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].CopyFrom(host[i].Value);
        }

        ReadParameters();
        Set = new ParameterSet([.. _parameters.Select(static copy => copy.Tensor)], options);
        Set.SetGradients([.. _gradients.Select(static copy => copy.Tensor)]);
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
        ReadParameters();
    }

    /// <summary>Does something that gives the optimizer other parameters; those of the model are the same on return.</summary>
    public void Restore(Action restore)
    {
        restore();
        ReadParameters();
    }

    public void Dispose()
    {
        Set.Dispose();
        foreach (Copy copy in _parameters.Concat(_gradients))
        {
            copy.Dispose();
        }
    }

    private void ReadParameters()
    {
        for (int i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].Tensor.CopyTo(_host[i].Value);
        }
    }

    /// <summary>A tensor of the optimizer's device and element type.</summary>
    private sealed class Copy : IDisposable
    {
        private readonly DeviceBuffer<byte> _buffer;
        private readonly ushort[] _rounded;

        public Copy(Device device, DType type, int length)
        {
            bool isFloat32 = type == DType.Float32;
            _buffer = new DeviceBuffer<byte>(device, (long)length * (isFloat32 ? sizeof(float) : sizeof(ushort)));
            _rounded = isFloat32 ? [] : new ushort[length];
            Tensor = TensorRef.FromPointer(_buffer.Pointer, length, type, device);
        }

        public TensorRef Tensor { get; }

        public void CopyFrom(float[] values)
        {
            if (Tensor.DType == DType.Float32)
            {
                _buffer.CopyFrom(MemoryMarshal.AsBytes(values.AsSpan()));
                return;
            }

            BFloat16.Round(values, _rounded);
            _buffer.CopyFrom(MemoryMarshal.AsBytes(_rounded.AsSpan()));
        }

        public void Dispose() => _buffer.Dispose();
    }
}
