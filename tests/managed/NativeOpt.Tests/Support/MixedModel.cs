namespace NativeOpt.Tests.Support;

/// <summary>A tensor of any element type, and the type of its gradient.</summary>
internal sealed record MixedTensor(int Size, DType Type, DType GradientType);

/// <summary>Tensors of any element types with reproducible contents, registered as a set.</summary>
internal sealed unsafe class MixedModel : IDisposable
{
    private readonly List<DeviceBuffer<byte>> _memory = [];

    public MixedModel(params MixedTensor[] tensors)
    {
        Tensors = tensors;
        Parameters = [.. tensors.Select(tensor => Allocate(tensor.Size, tensor.Type))];
        Gradients = [.. tensors.Select(tensor => Allocate(tensor.Size, tensor.GradientType))];
        ResetParameters();
        SetGradients(1);
        Set = new ParameterSet(
            Device.Cpu, Parameters, [.. tensors.Select(tensor => new TensorOptions { GradientType = tensor.GradientType })]);
        Set.SetGradients(Gradients);
    }

    public MixedTensor[] Tensors { get; }

    public TensorRef[] Parameters { get; }

    public TensorRef[] Gradients { get; }

    public ParameterSet Set { get; }

    /// <summary>Memory that lives as long as the model.</summary>
    public TensorRef Allocate(int size, DType type)
    {
        DeviceBuffer<byte> buffer = new(Device.Cpu, type.ByteCount(size));
        _memory.Add(buffer);
        return TensorRef.FromPointer(buffer.Pointer, size, type);
    }

    /// <summary>Writes numbers, rounded to nearest.</summary>
    public static void Write(TensorRef tensor, ReadOnlySpan<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (tensor.DType == DType.Float32)
            {
                ((float*)tensor.Pointer)[i] = values[i];
            }
            else
            {
                ((ushort*)tensor.Pointer)[i] = Rounding.BitsOf(tensor.DType, values[i]);
            }
        }
    }

    public static Span<ushort> Bits(TensorRef tensor) => new((void*)tensor.Pointer, (int)tensor.ElementCount);

    public void ResetParameters(int seed = 1000)
    {
        for (int tensor = 0; tensor < Tensors.Length; tensor++)
        {
            Write(Parameters[tensor], Model.Values(Tensors[tensor].Size, seed + tensor));
        }
    }

    /// <summary>Writes the gradients of a step, as <see cref="Model.SetGradients"/>.</summary>
    public void SetGradients(int step)
    {
        for (int tensor = 0; tensor < Tensors.Length; tensor++)
        {
            Write(Gradients[tensor], Model.Values(Tensors[tensor].Size, (7919 * step) + tensor, 2.0 / step));
        }
    }

    /// <summary>Takes steps number <paramref name="first"/> to <paramref name="last"/>.</summary>
    public void Step(Optimizer optimizer, int first, int last)
    {
        for (int step = first; step <= last; step++)
        {
            SetGradients(step);
            optimizer.Step();
        }
    }

    public byte[] ParameterBytes() =>
        [.. Parameters.SelectMany(tensor => Convert.FromHexString(Snapshot.Bits(tensor)))];

    public void Dispose()
    {
        Set.Dispose();
        _memory.ForEach(buffer => buffer.Dispose());
    }
}
