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

    /// <summary>As many elements, of a type for each tensor.</summary>
    public BufferLayout With(DType[] types) => new(_device, _elementCounts, types);

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

    /// <summary>Throws unless there are as many entries as tensors.</summary>
    /// <param name="count">The number of entries.</param>
    /// <param name="paramName">The argument.</param>
    /// <param name="what">What the message calls it; null: by its name.</param>
    public void RequireCount(int count, string paramName, string? what = null)
    {
        if (count != _types.Length)
        {
            throw new ArgumentException(
                $"{what ?? paramName} has {count} entries, but the set has {_types.Length} tensors.", paramName);
        }
    }

    /// <summary>Throws unless a tensor that has elements here has an address.</summary>
    public void RequireAddress(nint pointer, int index, string paramName, StateRole role, string? what = null)
    {
        // The native library takes null for a tensor that is to do without.
        if (pointer == 0 && _elementCounts[index] > 0)
        {
            throw new ArgumentException(
                $"{what ?? paramName}[{index}] is null, but {role} of the tensor has {_elementCounts[index]} elements.", paramName);
        }
    }

    /// <summary>Throws unless a tensor is where the layout's are, and has as many elements.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="index">Its index.</param>
    /// <param name="paramName">The argument.</param>
    /// <param name="what">What the message calls it; null: by its name.</param>
    public void RequireElements(TensorRef tensor, int index, string paramName, string? what = null)
    {
        RequireDevice(tensor, _device, index, paramName, what);
        if (tensor.ElementCount != _elementCounts[index])
        {
            throw new ArgumentException(
                $"{what ?? paramName}[{index}] has {tensor.ElementCount} elements, but the "
                + (_elementCounts[index] == 0 ? "tensor needs none." : $"parameter has {_elementCounts[index]}."),
                paramName);
        }
    }

    /// <summary>Throws unless a tensor is what the layout says.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="index">Its index.</param>
    /// <param name="paramName">The argument.</param>
    /// <param name="what">What the message calls it; null: by its name.</param>
    public void RequireFit(TensorRef tensor, int index, string paramName, string? what = null)
    {
        RequireElements(tensor, index, paramName, what);
        if (tensor.DType != _types[index])
        {
            throw Enum.IsDefined(tensor.DType)
                ? new ArgumentException(
                    $"{what ?? paramName}[{index}] is {tensor.DType}; it must be {_types[index]}.", paramName)
                : NotANumber(tensor.DType, $"{what ?? paramName}[{index}]");
        }
    }

    private long ByteCount(int tensor) => _types[tensor].ByteCount(_elementCounts[tensor]);

    public static void RequireDevice(TensorRef tensor, Device device, int index, string paramName, string? what = null)
    {
        if (tensor.Device != device)
        {
            throw new ArgumentException(
                $"{what ?? paramName}[{index}] is on {tensor.Device}, but the set is on {device}.", paramName);
        }
    }

    public static NotSupportedException NotANumber(DType type, string what) =>
        new($"{what} has element type {type}; it must be {DType.Float32}, {DType.BFloat16} or {DType.Float16}."
            + (type == DType.Dynamic8 ? $" {type} is of states alone: {nameof(OptimizerOptions.StateType)}." : ""));
}
