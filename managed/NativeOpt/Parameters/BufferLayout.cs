using System.Buffers;

namespace NativeOpt;

/// <summary>What the buffers of a role are made of: for each tensor of a set the number of elements and their type.</summary>
internal sealed class BufferLayout
{
    // Of each tensor's part of an allocation. A cache line, and the widest CPU register; GPUs need 16.
    private const int Alignment = 64;

    private readonly Device _device;
    private readonly long[] _elementCounts;
    private readonly DType[] _types;

    public BufferLayout(Device device, long[] elementCounts, DType[] types)
    {
        _device = device;
        _elementCounts = elementCounts;
        _types = types;
    }

    public Device Device => _device;

    public ReadOnlySpan<long> ElementCounts => _elementCounts;

    public ReadOnlySpan<DType> Types => _types;

    public long TotalElementCount => _elementCounts.Sum();

    /// <summary>The bytes of all elements.</summary>
    public long TotalByteCount => Enumerable.Range(0, _types.Length).Sum(ByteCount);

    /// <summary>The bytes of one allocation for all tensors.</summary>
    public long AllocationByteCount => Enumerable.Range(0, _types.Length).Sum(AllocationByteCountOf);

    /// <summary>A tensor's part of it, from its beginning to the next one's.</summary>
    public long AllocationByteCountOf(int tensor) => (ByteCount(tensor) + Alignment - 1) / Alignment * Alignment;

    /// <summary>As many elements, all of one type.</summary>
    public BufferLayout With(DType type) => new(_device, _elementCounts, [.. _types.Select(_ => type)]);

    /// <summary>As many elements, of types that depend on the tensor's size.</summary>
    public BufferLayout With(Func<long, DType> typeOf) => new(_device, _elementCounts, [.. _elementCounts.Select(typeOf)]);

    /// <summary>Elements of one type for the tensors that are of certain types here, none for the others.</summary>
    public BufferLayout With(DType type, Func<DType, bool> isFor) =>
        new(_device, [.. _elementCounts.Zip(_types, (count, own) => isFor(own) ? count : 0)], [.. _types.Select(_ => type)]);

    /// <summary>A tensor's buffer.</summary>
    public TensorRef At(int tensor, nint pointer) => new(pointer, _elementCounts[tensor], _types[tensor], _device);

    /// <summary>
    /// The addresses of tensors that fit this layout, in an array of the shared pool that the caller returns to it.
    /// </summary>
    public nint[] RentPointers(ReadOnlySpan<TensorRef> tensors, string paramName)
    {
        RequireCount(tensors.Length, paramName);
        for (int i = 0; i < tensors.Length; i++)
        {
            RequireFit(tensors[i], i, paramName);
        }

        nint[] pointers = ArrayPool<nint>.Shared.Rent(tensors.Length);
        for (int i = 0; i < tensors.Length; i++)
        {
            pointers[i] = tensors[i].Pointer;
        }

        return pointers;
    }

    public void RequireCount(int count, string paramName)
    {
        if (count != _types.Length)
        {
            throw new ArgumentException(
                $"{paramName} has {count} entries, but the set has {_types.Length} tensors.", paramName);
        }
    }

    /// <summary>Throws unless a tensor is where the layout's are, and has as many elements.</summary>
    public void RequireElements(TensorRef tensor, int index, string paramName)
    {
        RequireDevice(tensor, _device, index, paramName);
        if (tensor.ElementCount != _elementCounts[index])
        {
            throw new ArgumentException(
                $"{paramName}[{index}] has {tensor.ElementCount} elements, but the "
                + (_elementCounts[index] == 0 ? "tensor needs none." : $"parameter has {_elementCounts[index]}."),
                paramName);
        }
    }

    private void RequireFit(TensorRef tensor, int index, string paramName)
    {
        RequireElements(tensor, index, paramName);
        if (tensor.DType != _types[index])
        {
            throw Enum.IsDefined(tensor.DType)
                ? new ArgumentException(
                    $"{paramName}[{index}] is {tensor.DType}; it must be {_types[index]}.", paramName)
                : NotANumber(tensor.DType, $"{paramName}[{index}]");
        }
    }

    private long ByteCount(int tensor) => _types[tensor].ByteCount(_elementCounts[tensor]);

    public static void RequireDevice(TensorRef tensor, Device device, int index, string paramName)
    {
        if (tensor.Device != device)
        {
            throw new ArgumentException(
                $"{paramName}[{index}] is on {tensor.Device}, but the set is on {device}.", paramName);
        }
    }

    public static NotSupportedException NotANumber(DType type, string what) =>
        new($"{what} has element type {type}; it must be {DType.Float32}, {DType.BFloat16} or {DType.Float16}."
            + (type == DType.Dynamic8 ? $" {type} is of states alone: {nameof(OptimizerOptions.StateType)}." : ""));
}
