using System.Buffers;
using NativeOpt.Interop;

namespace NativeOpt;

// How far the tensors and groups have come.
public abstract unsafe partial class Optimizer
{
    /// <summary>
    /// The steps that group 0 has taken, t; 0 before the first. To be set only to resume; see
    /// <see cref="OptimizerGroup.StepCount"/>.
    /// </summary>
    /// <inheritdoc cref="OptimizerGroup.StepCount" path="/exception"/>
    public long StepCount
    {
        get => _groups[0].StepCount;
        set => _groups[0].StepCount = value;
    }

    /// <summary>
    /// The product of beta1 over all steps taken by group 0, in [0, 1), for bias correction; 1 before the first step and for
    /// rules that have none. To be set only to resume, after <see cref="StepCount"/>.
    /// </summary>
    /// <inheritdoc cref="OptimizerGroup.Beta1Product" path="/exception"/>
    public double Beta1Product
    {
        get => _groups[0].Beta1Product;
        set => _groups[0].Beta1Product = value;
    }

    /// <summary>The product of beta2 over all steps taken by group 0; see <see cref="Beta1Product"/>.</summary>
    /// <inheritdoc cref="OptimizerGroup.Beta2Product" path="/exception"/>
    public double Beta2Product
    {
        get => _groups[0].Beta2Product;
        set => _groups[0].Beta2Product = value;
    }

    /// <summary>
    /// Tells the steps that a tensor has taken: those in which it had a gradient. Where the optimizer is capturable, this waits
    /// for the device.
    /// </summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The tensor's t; 0 before its first step.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public long GetStepCount(int tensor)
    {
        ParameterSet.RequireIndex(tensor);
        return TensorStates()[tensor].step;
    }

    /// <summary>
    /// Tells the steps that each tensor has taken, as <see cref="GetStepCount"/> does, all at once. It allocates nothing once the
    /// thread has a buffer of that size in the shared pool. Where the optimizer is capturable, this waits for the device.
    /// </summary>
    /// <param name="counts">Receives each tensor's t, in the order of registration.</param>
    /// <exception cref="ArgumentException">There is room for fewer or more than there are tensors.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void GetStepCounts(Span<long> counts)
    {
        ParameterSet.RequireCount(counts.Length, nameof(counts));
        nopt_step_state[] states = ArrayPool<nopt_step_state>.Shared.Rent(counts.Length);
        try
        {
            ReadTensorStates(states.AsSpan(0, counts.Length));
            for (int tensor = 0; tensor < counts.Length; tensor++)
            {
                counts[tensor] = states[tensor].step;
            }
        }
        finally
        {
            ArrayPool<nopt_step_state>.Shared.Return(states);
        }
    }

    /// <summary>
    /// Sets the steps that each tensor has taken, to resume. The running scalars of a tensor become those of so many steps with
    /// the present hyperparameters of its group, and each group is then where its farthest tensor is. The call takes time that
    /// is proportional to the steps. Where the optimizer is capturable, it waits for the device.
    /// </summary>
    /// <param name="counts">Each tensor's t, in the order of registration; 0 to 2^53.</param>
    /// <exception cref="ArgumentException">There are fewer or more counts than tensors.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A count is negative or above 2^53. None has changed.</exception>
    /// <exception cref="ConcurrentUseException">
    /// The set is in use by another thread. With several groups, some of them may have changed: set the counts again.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void SetStepCounts(ReadOnlySpan<long> counts)
    {
        ThrowIfDisposed();
        ParameterSet.RequireCount(counts.Length, nameof(counts));
        for (int tensor = 0; tensor < counts.Length; tensor++)
        {
            if (counts[tensor] is < 0 or > OptimizerGroup.MaxStepCount)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(counts), counts[tensor], $"counts[{tensor}] is {counts[tensor]}; it must be 0 to 2^53.");
            }
        }

        nopt_hyperparams[] hyperparameters = [.. _groups.Select(static group => group.Hyperparameters)];
        StateTransfer.Counted(this, counts.ToArray(), hyperparameters, CancellationToken.None)();
    }

    /// <summary>
    /// Tells a running scalar of each tensor by the name that the rule describes. Where the optimizer is capturable, this waits
    /// for the device.
    /// </summary>
    /// <param name="name">The name, for example "beta1_product"; see <see cref="Rule.RunningScalars"/>.</param>
    /// <param name="values">Receives each tensor's number, in the order of registration.</param>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such running scalar, or there is room for fewer or more than there are tensors.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void GetRunningScalars(string name, Span<double> values)
    {
        int index = Rule.GetRunningScalar(name).Index;
        ParameterSet.RequireCount(values.Length, nameof(values));
        nopt_step_state[] states = TensorStates();
        for (int tensor = 0; tensor < states.Length; tensor++)
        {
            values[tensor] = states[tensor].running[index];
        }
    }

    /// <summary>
    /// Sets a running scalar of each tensor, to resume, after <see cref="SetStepCounts"/>, which sets all of them. A group gets
    /// that of the first of its tensors that have taken as many steps as the group.
    /// </summary>
    /// <param name="name">The name; see <see cref="Rule.RunningScalars"/>.</param>
    /// <param name="values">Each tensor's number, in the order of registration.</param>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has no such running scalar, there are fewer or more values than tensors, or a value is impossible after so many
    /// steps. None has changed.
    /// </exception>
    /// <exception cref="ConcurrentUseException">
    /// The set is in use by another thread. With several groups, some of them may have changed: set the values again.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void SetRunningScalars(string name, ReadOnlySpan<double> values)
    {
        int index = Rule.GetRunningScalar(name).Index;
        ParameterSet.RequireCount(values.Length, nameof(values));
        nopt_step_state[] tensors = TensorStates();
        nopt_step_state[] groups = GroupStates();
        bool[] isSet = new bool[groups.Length];
        for (int tensor = 0; tensor < tensors.Length; tensor++)
        {
            tensors[tensor].running[index] = values[tensor];
            if (Rule.WhyImpossible(tensors[tensor]) is { } why)
            {
                throw new ArgumentException($"values[{tensor}] is impossible: {why}", nameof(values));
            }

            int group = ParameterSet.GetGroup(tensor);
            if (!isSet[group] && tensors[tensor].step == groups[group].step)
            {
                groups[group].running[index] = values[tensor];
                isSet[group] = true;
            }
        }

        SetStates(groups, tensors);
    }

    /// <summary>The step count and the running scalars of each tensor.</summary>
    internal nopt_step_state[] TensorStates()
    {
        nopt_step_state[] states = new nopt_step_state[ParameterSet.Count];
        ReadTensorStates(states);
        return states;
    }

    /// <summary>The step count and the running scalars of each group.</summary>
    internal nopt_step_state[] GroupStates() => [.. _groups.Select(static group => group.StepState)];

    /// <summary>Sets the step counts and the running scalars of all groups and all tensors, to resume.</summary>
    internal void SetStates(nopt_step_state[] ofGroups, nopt_step_state[] ofTensors)
    {
        ThrowIfDisposed();
        for (int group = 0; group < ofGroups.Length; group++)
        {
            _groups[group].StepState = ofGroups[group];
        }

        using HandleLease lease = new(_handle, this);
        fixed (nopt_step_state* all = ofTensors)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_set_tensor_states((nopt_optimizer*)lease.Pointer, ofTensors.Length, all));
        }
    }

    private void ReadTensorStates(Span<nopt_step_state> states)
    {
        ThrowIfDisposed();
        states.Fill(new nopt_step_state { struct_size = (uint)sizeof(nopt_step_state) });
        using HandleLease lease = new(_handle, this);
        fixed (nopt_step_state* all = states)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_get_tensor_states((nopt_optimizer*)lease.Pointer, states.Length, all));
        }
    }
}
