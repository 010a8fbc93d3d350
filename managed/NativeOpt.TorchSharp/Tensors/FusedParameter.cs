using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>A parameter of an optimizer: where its elements, its gradient and its states are.</summary>
internal sealed class FusedParameter
{
    private readonly sbyte _type;
    private readonly long[] _shape;
    private readonly long[] _strides;
    private readonly bool _isContiguous;

    // What the gradient was copied to, in the parameter's layout, where it could not be used as it is.
    private torch.Tensor? _gradientCopy;

    /// <param name="tensor">The parameter.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="group">The group's index.</param>
    /// <exception cref="ArgumentException">Steps cannot update a tensor of this type, layout or device.</exception>
    public FusedParameter(Parameter tensor, string name, int group)
    {
        Tensor = tensor;
        Name = name;
        Group = group;
        RequireValid();
        if (tensor.is_sparse)
        {
            throw Refusal("is sparse; steps update dense parameters only");
        }

        DType = tensor.dtype switch
        {
            torch.ScalarType.Float32 => DType.Float32,
            torch.ScalarType.BFloat16 => DType.BFloat16,
            torch.ScalarType.Float16 => DType.Float16,
            _ => throw Refusal($"is {tensor.dtype}; steps update Float32, BFloat16 and Float16. Use TorchSharp's optimizer for it"),
        };
        Device = tensor.device_type switch
        {
            DeviceType.CPU => DeviceOfHostMemory,
            DeviceType.CUDA => Device.Cuda(Math.Max(0, tensor.device_index)),
            _ => throw Refusal($"is on {tensor.device}; steps run on the CPU and on CUDA devices. Use TorchSharp's optimizer for it"),
        };
        Handle = tensor.Handle;
        ElementCount = tensor.numel();
        RequiredGradient = tensor.requires_grad;
        _type = (sbyte)tensor.dtype;
        _shape = tensor.shape;
        _strides = tensor.stride();
        _isContiguous = tensor.is_contiguous();
        if (!_isContiguous && !IsDense(_shape, _strides))
        {
            throw Refusal("has gaps between its elements, or elements that share memory; give the optimizer a contiguous() one");
        }
    }

    /// <summary>
    /// The device that steps take tensors of the CPU to be on. Tests set another to send them the way of CUDA tensors, with the
    /// library's CUDA sources built for the host.
    /// </summary>
    public static Device DeviceOfHostMemory { get; set; } = Device.Cpu;

    /// <summary>The parameter; it stays alive as long as this object.</summary>
    public Parameter Tensor { get; }

    /// <summary>The native handle, which tells whether a module still has this parameter.</summary>
    public nint Handle { get; }

    public string Name { get; }

    public int Group { get; }

    public DType DType { get; }

    public Device Device { get; }

    public long ElementCount { get; }

    /// <summary>Whether the parameter required a gradient when the optimizer was given it.</summary>
    public bool RequiredGradient { get; }

    /// <summary>Throws if the parameter was disposed of.</summary>
    public void RequireValid()
    {
        if (Tensor.IsInvalid)
        {
            throw new InvalidOperationException(
                $"The parameter {Name} was disposed of, perhaps with its model, by the end of a DisposeScope, or by a conversion "
                + "such as module.to(...), which replaces parameters. Keep the model alive as long as the optimizer steps, and "
                + "make the optimizer after conversions.");
        }
    }

    /// <summary>The address of the parameter's elements at present.</summary>
    public nint Address()
    {
        RequireValid();
        return LibTorch.THSTensor_data(Tensor.Handle);
    }

    /// <summary>
    /// The address of the gradient's elements at present, in the parameter's type and order; 0 if there is no gradient. A
    /// gradient that is sparse or ordered otherwise is copied first.
    /// </summary>
    /// <param name="hasGradient">Whether there is one; a parameter without elements may have one at address 0.</param>
    public nint GradientAddress(out bool hasGradient)
    {
        nint gradient = LibTorch.THSTensor_grad(Tensor.Handle);
        hasGradient = gradient != 0;
        if (!hasGradient)
        {
            return 0;
        }

        nint address = IsLikeParameter(gradient) ? LibTorch.THSTensor_data(gradient) : 0;
        LibTorch.THSTensor_dispose(gradient);
        return address != 0 || ElementCount == 0 ? address : CopyGradient();
    }

    /// <summary>A tensor with a value in all elements, in the parameter's order and on its device, outside of DisposeScopes.</summary>
    public torch.Tensor NewState(torch.ScalarType type, double value)
    {
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            torch.Tensor state = torch.empty_like(Tensor, dtype: type, requires_grad: false).DetachFromDisposeScope();
            state.fill_(value);
            return state;
        }
    }

    /// <summary>Whether a tensor's elements lie as the parameter's do, and on its device.</summary>
    public bool HasLayoutOf(torch.Tensor state) =>
        !state.is_sparse && state.device_type == Tensor.device_type && state.device_index == Tensor.device_index
        && state.shape.AsSpan().SequenceEqual(_shape) && HasStrides(state.Handle);

    /// <summary>Whether two tensors have the same number of elements along each dimension.</summary>
    public bool HasShapeOf(torch.Tensor other) => other.shape.AsSpan().SequenceEqual(_shape);

    /// <summary>A copy of a tensor of the same shape in the parameter's order and on its device, outside of DisposeScopes.</summary>
    public torch.Tensor InParameterOrder(torch.Tensor source, torch.ScalarType type)
    {
        torch.Tensor copy = NewState(type, 0);
        CopyInto(copy, source);
        return copy;
    }

    public void Free() => _gradientCopy?.Dispose();

    private static void CopyInto(torch.Tensor destination, torch.Tensor source)
    {
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            destination.copy_(source.is_sparse ? source.to_dense() : source);
        }
    }

    private bool IsLikeParameter(nint tensor)
    {
        bool sameOrder = _isContiguous ? LibTorch.THSTensor_is_contiguous(tensor) != 0 : HasSizesAndStrides(tensor);
        return sameOrder && LibTorch.THSTensor_type(tensor) == _type && LibTorch.THSTensor_numel(tensor) == ElementCount;
    }

    private bool HasSizesAndStrides(nint tensor)
    {
        if (LibTorch.THSTensor_ndimension(tensor) != _shape.Length)
        {
            return false;
        }

        for (int i = 0; i < _shape.Length; i++)
        {
            if (LibTorch.THSTensor_size(tensor, i) != _shape[i])
            {
                return false;
            }
        }

        return HasStrides(tensor);
    }

    /// <summary>Whether a tensor of the parameter's shape has its strides, where these matter.</summary>
    private bool HasStrides(nint tensor)
    {
        for (int i = 0; i < _strides.Length; i++)
        {
            if (_shape[i] > 1 && LibTorch.THSTensor_stride(tensor, i) != _strides[i])
            {
                return false;
            }
        }

        return true;
    }

    private nint CopyGradient()
    {
        // LibTorchSharp keeps an error for its next call if it was asked for the address of a sparse tensor.
        LibTorch.ClearError();
        using torch.Tensor? gradient = Tensor.grad;
        if (gradient is null)
        {
            return 0;
        }

        if (!HasShapeOf(gradient))
        {
            throw Refusal(
                $"has a gradient of shape [{string.Join(", ", gradient.shape)}], but it is [{string.Join(", ", _shape)}]");
        }

        if (gradient.device_type != Tensor.device_type || gradient.device_index != Tensor.device_index)
        {
            throw Refusal($"is on {Tensor.device}, but its gradient is on {gradient.device}");
        }

        _gradientCopy ??= NewState(Tensor.dtype, 0);
        CopyInto(_gradientCopy, gradient);
        return LibTorch.THSTensor_data(_gradientCopy.Handle);
    }

    /// <summary>Whether the elements fill one stretch of memory, each place once, in whatever order of the dimensions.</summary>
    private static bool IsDense(long[] shape, long[] strides)
    {
        int[] order = [.. Enumerable.Range(0, shape.Length).Where(i => shape[i] != 1).OrderBy(i => strides[i])];
        long expected = 1;
        foreach (int dimension in order)
        {
            if (strides[dimension] != expected)
            {
                return false;
            }

            expected *= shape[dimension];
        }

        return true;
    }

    private ArgumentException Refusal(string reason) => new($"The parameter {Name} {reason}.");
}
