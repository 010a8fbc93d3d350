using System.Buffers;
using NativeOpt.Interop;

namespace NativeOpt;

// What distinguishes tensors for the optimizer: factors of the learning rate, weight decays, groups.
public sealed unsafe partial class ParameterSet
{
    private delegate nopt_status Send<T>(nopt_param_set* set, long tensorCount, T* values)
        where T : unmanaged;

    /// <summary>What multiplies the optimizer's learning rate for a tensor.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The factor.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public double GetLearningRateScale(int tensor)
    {
        RequireIndex(tensor);
        return _options.LearningRateScales[tensor];
    }

    /// <summary>
    /// Sets what multiplies the optimizer's learning rate for a tensor, from the next step on. Each call costs time that is
    /// proportional to the number of tensors: <see cref="SetLearningRateScales"/> sets those of all tensors in one.
    /// </summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="scale">The factor, finite as a float and >= 0; see <see cref="TensorOptions.LearningRateScale"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor, or the factor is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetLearningRateScale(int tensor, double scale)
    {
        RequireIndex(tensor);
        Check.AtLeastZero(scale, "The learning rate scale", nameof(scale));
        SetOne(_options.LearningRateScales, tensor, scale, NativeMethods.nopt_param_set_set_lr_scale);
    }

    /// <summary>
    /// Sets what multiplies the optimizer's learning rate for each tensor, from the next step on. It allocates nothing, and
    /// values that are what they were cost a comparison.
    /// </summary>
    /// <param name="scales">The factor of each tensor, in the order of registration; finite and >= 0.</param>
    /// <exception cref="ArgumentException">There are fewer or more factors than tensors.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A factor is out of range. None has changed.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetLearningRateScales(ReadOnlySpan<double> scales)
    {
        RequireCount(scales.Length, nameof(scales));
        for (int i = 0; i < scales.Length; i++)
        {
            if (!Check.IsAtLeastZero(scales[i]))
            {
                Check.AtLeastZero(scales[i], $"{nameof(scales)}[{i}]", nameof(scales));
            }
        }

        SetAll(_options.LearningRateScales, scales, NativeMethods.nopt_param_set_set_lr_scale);
    }

    /// <summary>A tensor's own weight decay.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The weight decay; null if it takes its group's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public double? GetWeightDecay(int tensor)
    {
        RequireIndex(tensor);
        double own = _options.WeightDecays[tensor];
        return own == NativeMethods.NOPT_INHERIT ? null : own;
    }

    /// <summary>
    /// Sets a tensor's own weight decay, from the next step on. Each call costs time that is proportional to the number of
    /// tensors: <see cref="SetWeightDecays"/> sets those of all tensors in one.
    /// </summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="weightDecay">The weight decay, 0 to 1e16; null to take the group's.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor, or the value is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetWeightDecay(int tensor, double? weightDecay)
    {
        RequireIndex(tensor);
        Check.AtLeastZero(weightDecay ?? 0, "The weight decay", nameof(weightDecay));
        SetOne(_options.WeightDecays, tensor, weightDecay ?? NativeMethods.NOPT_INHERIT, NativeMethods.nopt_param_set_set_weight_decay);
    }

    /// <summary>
    /// Sets the weight decay of each tensor, from the next step on. It allocates nothing once the thread has a buffer of that
    /// size in the shared pool, and values that are what they were cost a comparison.
    /// </summary>
    /// <param name="weightDecays">
    /// The weight decay of each tensor, in the order of registration; 0 to 1e16, or null to take the group's.
    /// </param>
    /// <exception cref="ArgumentException">There are fewer or more values than tensors.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range. None has changed.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetWeightDecays(ReadOnlySpan<double?> weightDecays)
    {
        RequireCount(weightDecays.Length, nameof(weightDecays));
        double[] values = ArrayPool<double>.Shared.Rent(weightDecays.Length);
        try
        {
            for (int i = 0; i < weightDecays.Length; i++)
            {
                values[i] = weightDecays[i] ?? NativeMethods.NOPT_INHERIT;
                if (weightDecays[i] is { } own && !Check.IsAtLeastZero(own))
                {
                    Check.AtLeastZero(own, $"{nameof(weightDecays)}[{i}]", nameof(weightDecays));
                }
            }

            SetAll(_options.WeightDecays, values.AsSpan(0, weightDecays.Length), NativeMethods.nopt_param_set_set_weight_decay);
        }
        finally
        {
            ArrayPool<double>.Shared.Return(values);
        }
    }

    /// <summary>The group of hyperparameters that a tensor belongs to.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>Its group: the <see cref="OptimizerGroup.Index"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public int GetGroup(int tensor)
    {
        RequireIndex(tensor);
        return _options.Groups[tensor];
    }

    /// <summary>
    /// Moves a tensor to another group of hyperparameters, from the next step on. It keeps its states and its step count. Each
    /// call costs time that is proportional to the number of tensors: <see cref="SetGroups"/> sets those of all tensors in one.
    /// </summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="group">The group, 0 or more; below <see cref="Optimizer.Groups"/>' count if the set has an optimizer.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor or group.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetGroup(int tensor, int group)
    {
        RequireIndex(tensor);
        RequireGroup(group, nameof(group), nameof(group));
        SetOne(_options.Groups, tensor, group, NativeMethods.nopt_param_set_set_groups);
    }

    /// <summary>
    /// Sets the group of hyperparameters of each tensor, from the next step on. Tensors keep their states and step counts. It
    /// allocates nothing, and values that are what they were cost a comparison.
    /// </summary>
    /// <param name="groups">
    /// The group of each tensor, in the order of registration; 0 or more, and below <see cref="Optimizer.Groups"/>' count if the
    /// set has an optimizer.
    /// </param>
    /// <exception cref="ArgumentException">There are fewer or more values than tensors.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such group. None has changed.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetGroups(ReadOnlySpan<int> groups)
    {
        RequireCount(groups.Length, nameof(groups));
        int count = Handle.GroupCount;
        for (int i = 0; i < groups.Length; i++)
        {
            if ((uint)groups[i] >= (uint)count)
            {
                RequireGroup(groups[i], $"{nameof(groups)}[{i}]", nameof(groups));
            }
        }

        SetAll(_options.Groups, groups, NativeMethods.nopt_param_set_set_groups);
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

    private void RequireGroup(int group, string what, string paramName)
    {
        int count = Handle.GroupCount;
        if (group < 0 || group >= count)
        {
            throw new ArgumentOutOfRangeException(
                paramName, group,
                $"{what} is {group}; it must be "
                + (count == int.MaxValue ? "0 or more." : $"0 to {count - 1}, since the optimizer has {count} groups."));
        }
    }

    /// <summary>Sends the values of the options, after they have changed at registration.</summary>
    private void SendOptions()
    {
        SendAll<double>(_options.LearningRateScales, NativeMethods.nopt_param_set_set_lr_scale);
        SendAll<double>(_options.WeightDecays, NativeMethods.nopt_param_set_set_weight_decay);
        SendAll<int>(_options.Groups, NativeMethods.nopt_param_set_set_groups);
    }

    /// <summary>Changes one tensor's value, or nothing if the native library refuses.</summary>
    private void SetOne<T>(T[] present, int tensor, T value, Send<T> send)
        where T : unmanaged, IEquatable<T>
    {
        T before = present[tensor];
        present[tensor] = value;
        try
        {
            SendAll(present, send);
        }
        catch
        {
            present[tensor] = before;
            throw;
        }
    }

    /// <summary>Changes the values of all tensors, or nothing if the native library refuses.</summary>
    private void SetAll<T>(T[] present, ReadOnlySpan<T> values, Send<T> send)
        where T : unmanaged, IEquatable<T>
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!values.SequenceEqual(present))
        {
            SendAll(values, send);
            values.CopyTo(present);
        }
    }

    private void SendAll<T>(ReadOnlySpan<T> values, Send<T> send)
        where T : unmanaged
    {
        using HandleLease lease = new(Handle, this);
        fixed (T* first = values)
        {
            NativeError.ThrowIfFailed(send((nopt_param_set*)lease.Pointer, values.Length, first));
        }
    }
}
