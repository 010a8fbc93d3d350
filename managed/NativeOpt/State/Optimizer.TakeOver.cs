using NativeOpt.Interop;

namespace NativeOpt;

// Taking the states of another optimizer over, to go on with other tensors or groups.
public abstract unsafe partial class Optimizer
{
    /// <summary>
    /// Goes on where another optimizer of the same rule is, with other tensors or groups: every tensor that the other's set has
    /// under the same name (<see cref="TensorOptions.Name"/>) gets its states, master weights, step count and running scalars
    /// from there. New tensors keep their fresh states, and those that are gone are left behind. The other optimizer stays as
    /// it is.
    /// </summary>
    /// <param name="previous">The other optimizer, of the same device, types of states and master weights.</param>
    /// <param name="stream">The stream of the other's last step and of this one's next; the call waits for it.</param>
    /// <example>
    /// A head that is trained from now on, too:
    /// <code>
    /// ParameterSet moreTensors = new(
    ///     [weight, head], [new() { Name = "weight" }, new() { Name = "head", Group = 1 }]);
    /// AdamW next = new(moreTensors, [bodyOptions, headOptions]);
    /// next.TakeOver(optimizer);
    /// optimizer.Dispose();
    /// tensors.Dispose();
    /// (tensors, optimizer) = (moreTensors, next);
    /// </code>
    /// </example>
    /// <remarks>
    /// <para>
    /// This optimizer must not have taken a step. Its hyperparameters are its own; so are
    /// <see cref="GradientOptions"/>, whether it is capturable, and a dimer around it, whose direction begins anew. Buffers of
    /// <see cref="BindState(StateRole, ReadOnlySpan{nint})"/> may be those of the other optimizer, tensor by tensor, and must
    /// not overlap them otherwise.
    /// </para>
    /// <para>
    /// Tensors of different histories may be in one group, since the step count belongs to the tensor. The group itself goes on
    /// from the one with the largest step count among those that its tensors come from.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="previous"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The other optimizer is this one, has another rule or other states, is on another device, has no tensor of a name of
    /// these, or one with another number of elements or other types. Nothing has changed.
    /// </exception>
    /// <exception cref="InvalidOperationException">
    /// This optimizer has taken steps, or a <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="ConcurrentUseException">A set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">An optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the state buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void TakeOver(Optimizer previous, DeviceStream stream = default)
    {
        ArgumentNullException.ThrowIfNull(previous);
        ThrowIfDisposed();
        previous.ThrowIfDisposed();
        RequireLike(previous);
        RequireNotDisplaced();
        previous.RequireNotDisplaced();
        using HandleLease lease = new(_handle, this);
        using HandleLease otherLease = new(previous._handle, previous);

        // What the device counts must be that of the last step.
        stream.Synchronize(ParameterSet.Device);
        RequireNoSteps();
        nopt_step_state[] otherGroups = previous.GroupStates();
        nopt_step_state[] otherTensors = previous.TensorStates();
        int[] origins = Origins(previous);
        foreach ((TensorRef from, TensorRef to) in StatePairs(previous, origins, stream))
        {
            if (from.Pointer != to.Pointer)
            {
                NativeError.ThrowIfFailed(
                    NativeMethods.nopt_memory_copy(
                        to.Device.NativeBackend, to.Device.Index, (void*)to.Pointer, (void*)from.Pointer, from.ByteCount,
                        (void*)stream.Pointer));
            }
        }

        stream.Synchronize(ParameterSet.Device);
        StateTransfer.RequireNoStepSince(previous, otherGroups[0].step);
        ForgetThatMasterWeightsFit();
        SetStates(
            GroupHistories(previous, origins, otherGroups),
            [.. origins.Select(origin => origin < 0 ? Rule.InitialState : otherTensors[origin])]);
    }

    private void RequireLike(Optimizer previous)
    {
        string? difference =
            previous == this ? "it is this one"
            : Difference("rule", previous.RuleName, RuleName)
                ?? Difference("device", previous.ParameterSet.Device, ParameterSet.Device)
                ?? Difference("MasterWeights", previous._masterWeights, _masterWeights)
                ?? Difference("set of states", string.Join(", ", previous.StateRoles), string.Join(", ", StateRoles));
        if (difference is not null)
        {
            throw new ArgumentException(
                $"The states of the previous optimizer cannot be taken over: {difference}.", nameof(previous));
        }

        static string? Difference<T>(string what, T there, T here) =>
            EqualityComparer<T>.Default.Equals(there, here) ? null : $"its {what} is {there}, this one's is {here}";
    }

    private void RequireNoSteps()
    {
        foreach (OptimizerGroup group in _groups)
        {
            if (group.StepCount > 0)
            {
                throw new InvalidOperationException(
                    $"The optimizer has taken {group.StepCount} steps with group {group.Index}; only a new one can take states "
                    + "over.");
            }
        }
    }

    /// <summary>For each tensor its index in the previous set; -1 if it is new.</summary>
    private int[] Origins(Optimizer previous)
    {
        ParameterSet set = ParameterSet;
        ParameterSet other = previous.ParameterSet;
        Dictionary<string, int> indices = [];
        for (int tensor = 0; tensor < other.Count; tensor++)
        {
            indices.Add(other.Names[tensor], tensor);
        }

        int[] origins = [.. set.Names.Select(name => indices.GetValueOrDefault(name, -1))];
        if (set.Count > 0 && other.Count > 0 && Array.TrueForAll(origins, static origin => origin < 0))
        {
            throw new ArgumentException(
                $"No tensor has a name that one of the previous optimizer has (\"{set.Names[0]}\" here, \"{other.Names[0]}\" "
                + "there): there is nothing to take over. Name them alike in TensorOptions.",
                nameof(previous));
        }

        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            if (origins[tensor] >= 0 && other.ElementCounts[origins[tensor]] != set.ElementCounts[tensor])
            {
                throw new ArgumentException(
                    $"Here, {StateTransfer.Describe(set, tensor)} has {set.ElementCounts[tensor]} elements, but that of the previous "
                    + $"optimizer has {other.ElementCounts[origins[tensor]]}. Give it another name if it is another tensor.",
                    nameof(previous));
            }
        }

        return origins;
    }

    /// <summary>The step state of each group: the farthest of the groups that its tensors come from.</summary>
    private nopt_step_state[] GroupHistories(Optimizer previous, int[] origins, nopt_step_state[] others)
    {
        nopt_step_state[] taken = new nopt_step_state[_groups.Length];
        Array.Fill(taken, Rule.InitialState);
        for (int tensor = 0; tensor < origins.Length; tensor++)
        {
            int group = ParameterSet.GetGroup(tensor);
            if (origins[tensor] >= 0
                && others[previous.ParameterSet.GetGroup(origins[tensor])] is var other && other.step > taken[group].step)
            {
                taken[group] = other;
            }
        }

        return taken;
    }

    /// <summary>The states to copy: the other's, and where they go.</summary>
    private List<(TensorRef From, TensorRef To)> StatePairs(Optimizer previous, int[] origins, DeviceStream stream)
    {
        List<(TensorRef From, TensorRef To)> pairs = [];
        foreach (StateRole role in StateRoles)
        {
            for (int tensor = 0; tensor < origins.Length; tensor++)
            {
                if (origins[tensor] < 0)
                {
                    continue;
                }

                TensorRef from = previous.GetState(role, origins[tensor], stream);
                TensorRef to = GetState(role, tensor, stream);
                if (from.ElementCount != to.ElementCount || from.DType != to.DType)
                {
                    throw new ArgumentException(
                        $"Here, {StateTransfer.Describe(ParameterSet, tensor)} has {to.ElementCount} elements of {to.DType} as {role}, "
                        + $"but that of the previous optimizer has {from.ElementCount} of {from.DType}. Give the tensor the same "
                        + $"types of parameter and states ({nameof(OptimizerOptions.StateType)}) in both, or another name, to begin anew.",
                        nameof(previous));
                }

                pairs.Add((from, to));
            }
        }

        return pairs;
    }
}
