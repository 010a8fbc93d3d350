using NativeOpt.Interop;

namespace NativeOpt;

// What distinguishes tensors for the optimizer: factors of the learning rate, weight decays, groups.
public sealed unsafe partial class ParameterSet
{
    /// <summary>What multiplies the optimizer's learning rate for a tensor.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The factor.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public double GetLearningRateScale(int tensor)
    {
        RequireIndex(tensor);
        return _options.LearningRateScales[tensor];
    }

    /// <summary>Sets what multiplies the optimizer's learning rate for a tensor, from the next step on.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="scale">The factor, finite and >= 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor, or the factor is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetLearningRateScale(int tensor, double scale)
    {
        RequireIndex(tensor);
        Check.AtLeastZero(scale, "The learning rate scale", nameof(scale));
        double before = _options.LearningRateScales[tensor];
        _options.LearningRateScales[tensor] = scale;
        try
        {
            SendLearningRateScales();
        }
        catch
        {
            _options.LearningRateScales[tensor] = before;
            throw;
        }
    }

    /// <summary>A tensor's own weight decay.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The weight decay; null if it takes the optimizer's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public double? GetWeightDecay(int tensor)
    {
        RequireIndex(tensor);
        double own = _options.WeightDecays[tensor];
        return own == NativeMethods.NOPT_INHERIT ? null : own;
    }

    /// <summary>Sets a tensor's own weight decay, from the next step on.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="weightDecay">The weight decay, finite and >= 0; null to take the optimizer's.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor, or the value is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetWeightDecay(int tensor, double? weightDecay)
    {
        RequireIndex(tensor);
        Check.AtLeastZero(weightDecay ?? 0, "The weight decay", nameof(weightDecay));
        double before = _options.WeightDecays[tensor];
        _options.WeightDecays[tensor] = weightDecay ?? NativeMethods.NOPT_INHERIT;
        try
        {
            SendWeightDecays();
        }
        catch
        {
            _options.WeightDecays[tensor] = before;
            throw;
        }
    }

    /// <summary>The group of hyperparameters that a tensor belongs to.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>Its <see cref="TensorOptions.Group"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public int GetGroup(int tensor)
    {
        RequireIndex(tensor);
        return _options.Groups[tensor];
    }

    /// <summary>Throws unless the groups of all tensors are among so many.</summary>
    internal void RequireGroups(int count, string paramName)
    {
        int tensor = Array.FindIndex(_options.Groups, group => group >= count);
        if (tensor >= 0)
        {
            throw new ArgumentException(
                $"Tensor {tensor} (\"{Names[tensor]}\") is in group {_options.Groups[tensor]}, which has no options: there are those of "
                + (count == 1 ? "group 0" : $"groups 0 to {count - 1}")
                + $". Give the optimizer a list of options with an entry for each group, or the tensor another "
                + $"{nameof(TensorOptions)}.{nameof(TensorOptions.Group)}.",
                paramName);
        }
    }

    private void SendLearningRateScales()
    {
        using HandleLease lease = new(Handle, this);
        fixed (double* values = _options.LearningRateScales)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_lr_scale((nopt_param_set*)lease.Pointer, Count, values));
        }
    }

    private void SendGroups()
    {
        using HandleLease lease = new(Handle, this);
        fixed (int* values = _options.Groups)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_groups((nopt_param_set*)lease.Pointer, Count, values));
        }
    }

    private void SendWeightDecays()
    {
        using HandleLease lease = new(Handle, this);
        fixed (double* values = _options.WeightDecays)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_weight_decay((nopt_param_set*)lease.Pointer, Count, values));
        }
    }
}
