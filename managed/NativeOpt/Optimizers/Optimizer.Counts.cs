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

    /// <summary>The step count and the running scalars of each tensor.</summary>
    internal nopt_step_state[] TensorStates()
    {
        ThrowIfDisposed();
        nopt_step_state[] states = new nopt_step_state[ParameterSet.Count];
        Array.Fill(states, new nopt_step_state { struct_size = (uint)sizeof(nopt_step_state) });
        using HandleLease lease = new(_handle, this);
        fixed (nopt_step_state* all = states)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_get_tensor_states((nopt_optimizer*)lease.Pointer, states.Length, all));
        }

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
}
