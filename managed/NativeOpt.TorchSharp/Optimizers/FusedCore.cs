using global::TorchSharp;

namespace NativeOpt.TorchSharp;

/// <summary>
/// The library's optimizer over the memory of TorchSharp's tensors. It is made anew whenever tensors, options or groups change
/// in a way that it cannot follow; all that is kept from step to step lies in tensors and step counts outside of it.
/// </summary>
internal sealed class FusedCore : IDisposable
{
    private readonly ParameterSet _set;
    private readonly nint[] _parameters;
    private readonly nint[] _gradients;
    private readonly bool[] _hasGradient;
    private readonly torch.Tensor[] _kept;
    private bool _gradientsAreSet;

    /// <param name="parameters">The parameters, of one device.</param>
    /// <param name="options">The options of each group.</param>
    /// <param name="states">The tensors of each state, by parameter; null where there is none.</param>
    /// <param name="counts">The steps that each parameter has taken.</param>
    /// <param name="running">Running scalars by name, of each parameter; those that are NaN are as the counts say.</param>
    public FusedCore(
        FusedParameter[] parameters,
        IReadOnlyList<RuleOptions> options,
        IReadOnlyDictionary<StateRole, torch.Tensor?[]> states,
        long[] counts,
        IReadOnlyDictionary<string, double[]> running)
    {
        _gradients = new nint[parameters.Length];
        _hasGradient = new bool[parameters.Length];
        _parameters = [.. parameters.Select(static own => own.Address())];
        RequireApart(parameters);
        TensorRef[] tensors = [.. parameters.Select(
            (own, i) => TensorRef.FromPointer(_parameters[i], own.ElementCount, own.DType, own.Device))];
        TensorOptions[] tensorOptions = [.. parameters.Select(
            static own => new TensorOptions { Name = own.Name, Group = own.Group })];
        _set = new ParameterSet(parameters.Length == 0 ? Device.Cpu : parameters[0].Device, tensors, tensorOptions);

        // Handles of our own to the memory of states, which somebody may dispose of between two steps.
        _kept = [.. states.Values.SelectMany(static tensors => tensors).OfType<torch.Tensor>()
            .Select(static tensor => tensor.alias().DetachFromDisposeScope())];
        try
        {
            Optimizer = new RuleOptimizer(_set, options);
            try
            {
                Optimizer.BindStates(states.ToDictionary(
                    static pair => pair.Key,
                    pair => pair.Value.Select((state, i) => ToTensorRef(state, parameters[i].Device)).ToArray()));
                Optimizer.SetStepCounts(counts);
                foreach ((string name, double[] values) in running)
                {
                    SetRunningScalars(name, values);
                }
            }
            catch
            {
                Optimizer.Dispose();
                throw;
            }
        }
        catch
        {
            _set.Dispose();
            FreeKept();
            throw;
        }
    }

    public RuleOptimizer Optimizer { get; }

    /// <summary>Whether each parameter has had a gradient when <see cref="CollectGradients"/> was last called.</summary>
    public ReadOnlySpan<bool> HasGradient => _hasGradient;

    /// <summary>Whether the parameters are where they were when this object was made.</summary>
    public bool HasParametersOf(FusedParameter[] parameters)
    {
        for (int i = 0; i < parameters.Length; i++)
        {
            if (parameters[i].Address() != _parameters[i])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// Gives later steps the gradients that the parameters have now. It allocates nothing unless gradients have to be copied.
    /// </summary>
    public void CollectGradients(FusedParameter[] parameters)
    {
        bool isNew = !_gradientsAreSet;
        for (int i = 0; i < parameters.Length; i++)
        {
            nint address = parameters[i].GradientAddress(out _hasGradient[i]);
            isNew |= address != _gradients[i];
            _gradients[i] = address;
        }

        if (isNew)
        {
            _gradientsAreSet = false;
            _set.SetGradients(_gradients);
            _gradientsAreSet = true;
        }
    }

    public void Dispose()
    {
        Optimizer.Dispose();
        _set.Dispose();
        FreeKept();
    }

    private void FreeKept() => Array.ForEach(_kept, static tensor => tensor.Dispose());

    /// <summary>Throws if two parameters share memory.</summary>
    private void RequireApart(FusedParameter[] parameters)
    {
        int[] order = [.. Enumerable.Range(0, parameters.Length).Where(i => parameters[i].ElementCount > 0)];
        Array.Sort([.. order.Select(i => _parameters[i])], order);
        for (int i = 1; i < order.Length; i++)
        {
            FusedParameter before = parameters[order[i - 1]];
            if (_parameters[order[i - 1]] + before.DType.ByteCount(before.ElementCount) > _parameters[order[i]])
            {
                throw new ArgumentException(
                    $"The parameters {before.Name} and {parameters[order[i]].Name} share memory; each is stepped by itself. Give the "
                    + "optimizer one of them, or a clone of the other.");
            }
        }
    }

    private void SetRunningScalars(string name, double[] values)
    {
        double[] counted = new double[values.Length];
        Optimizer.GetRunningScalars(name, counted);
        Optimizer.SetRunningScalars(name, [.. values.Zip(counted, static (own, other) => double.IsNaN(own) ? other : own)]);
    }

    private static TensorRef ToTensorRef(torch.Tensor? state, Device device) =>
        state is null
            ? new TensorRef(0, 0, DType.Float32, device)
            : new TensorRef(LibTorch.THSTensor_data(state.Handle), state.numel(), ToDType(state.dtype), device);

    private static DType ToDType(torch.ScalarType type) => type switch
    {
        torch.ScalarType.Float32 => DType.Float32,
        torch.ScalarType.BFloat16 => DType.BFloat16,
        torch.ScalarType.Float16 => DType.Float16,
        _ => throw new NotSupportedException(
            $"A state is {type}; states are Float32, BFloat16 or Float16. Load one that a TorchSharp optimizer of such parameters "
            + "made."),
    };
}
