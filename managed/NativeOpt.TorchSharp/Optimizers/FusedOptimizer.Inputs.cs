using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules;

// What the host gives a rule beside the gradient.
public abstract partial class FusedOptimizer
{
    // By input, then by parameter: copies in the parameters' layout, for the next step.
    private readonly Dictionary<string, torch.Tensor?[]> _inputs = [];

    /// <summary>The copies that the next step reads and then frees, which torch's allocator does after the work that is queued.</summary>
    internal IEnumerable<torch.Tensor> GivenInputs => _inputs.Values.SelectMany(static tensors => tensors).OfType<torch.Tensor>();

    /// <summary>Gives an input of the rule for one parameter to the next step, which uses it up.</summary>
    /// <param name="input">The input's name, for example "hessian"; see <see cref="NativeOpt.Rule.Inputs"/>.</param>
    /// <param name="parameter">The parameter.</param>
    /// <param name="value">The input, of the parameter's shape and on its device. It is copied.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such input, the optimizer does not have the parameter, or the shape or the device differs.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer is disposed of.</exception>
    public void set_input(string input, Parameter parameter, torch.Tensor value)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        ArgumentNullException.ThrowIfNull(value);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        _ = Rule.GetInput(input);
        int index = Array.FindIndex(_fused, own => ReferenceEquals(own.Tensor, parameter) || own.Handle == parameter.Handle);
        if (index < 0)
        {
            throw new ArgumentException("The optimizer does not have this parameter.", nameof(parameter));
        }

        FusedParameter own = _fused[index];
        if (!own.HasShapeOf(value) || value.device_type != parameter.device_type || value.device_index != parameter.device_index)
        {
            throw new ArgumentException(
                $"The {input} of the parameter {own.Name} is [{string.Join(", ", value.shape)}] on {value.device}, but the parameter "
                + $"is [{string.Join(", ", parameter.shape)}] on {parameter.device}.",
                nameof(value));
        }

        if (!_inputs.TryGetValue(input, out torch.Tensor?[]? tensors) || tensors.Length != _fused.Length)
        {
            Array.Resize(ref tensors, _fused.Length);
            _inputs[input] = tensors;
        }

        tensors[index]?.Dispose();
        tensors[index] = own.InParameterOrder(value, torch.ScalarType.Float32);
    }

    private void GiveInputs()
    {
        foreach ((string name, torch.Tensor?[] tensors) in _inputs)
        {
            nint[] addresses = new nint[_fused.Length];
            for (int i = 0; i < tensors.Length; i++)
            {
                addresses[i] = tensors[i] is { } tensor ? LibTorch.THSTensor_data(tensor.Handle) : 0;
            }

            _core!.Optimizer.SetInput(name, addresses);
        }
    }

    private void ForgetInputs()
    {
        foreach (string name in _inputs.Keys)
        {
            _core!.Optimizer.ClearInput(name);
        }

        FreeInputs();
    }

    private void FreeInputs()
    {
        foreach (torch.Tensor?[] tensors in _inputs.Values)
        {
            foreach (torch.Tensor? tensor in tensors)
            {
                tensor?.Dispose();
            }
        }

        _inputs.Clear();
    }
}
