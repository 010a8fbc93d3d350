using NativeOpt.Interop;

namespace NativeOpt;

// Taking the states of another optimizer over, to go on with other tensors or groups.
public abstract unsafe partial class Optimizer
{
    private static readonly nopt_step_state NoSteps =
        new() { struct_size = (uint)sizeof(nopt_step_state), beta1_product = 1, beta2_product = 1 };

    /// <summary>
    /// Goes on where another optimizer of the same rule is, with other tensors or groups: every tensor that the other's set has
    /// under the same name (<see cref="TensorOptions.Name"/>) gets its states and master weights from there, and every group
    /// the step count and the products of the group that its tensors come from. New tensors keep their fresh states, and
    /// those that are gone are left behind. The other optimizer stays as it is.
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
    /// The tensors of a group have one history: either all are new (or from groups that have taken no step), or all are
    /// from groups with the same step count and products.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="previous"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The other optimizer is this one, has another rule or other states, is on another device, has no tensor of a name of
    /// these, or one with another number of elements or other types; or a group's tensors have different histories. Nothing
    /// has changed.
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
        nopt_step_state[] histories = [.. previous._groups.Select(static group => group.StepState)];
        int[] origins = Origins(previous);
        nopt_step_state?[] taken = Histories(previous, origins, histories);
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
        StateTransfer.RequireNoStepSince(previous, histories[0].step);
        for (int group = 0; group < _groups.Length; group++)
        {
            if (taken[group] is { } history)
            {
                _groups[group].StepState = history;
            }
        }
    }

    private void RequireLike(Optimizer previous)
    {
        string? difference =
            previous == this ? "it is this one"
            : Difference("rule", previous.RuleName, RuleName)
                ?? Difference("device", previous.ParameterSet.Device, ParameterSet.Device)
                ?? Difference("StateType", previous._common.StateType, _common.StateType)
                ?? Difference(
                    "MinDynamic8ElementCount", previous._common.MinDynamic8ElementCount, _common.MinDynamic8ElementCount)
                ?? Difference("MasterWeights", previous._common.MasterWeights, _common.MasterWeights)
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

    /// <summary>The step count and products of each group; null for those without tensors.</summary>
    private nopt_step_state?[] Histories(Optimizer previous, int[] origins, nopt_step_state[] histories)
    {
        ParameterSet set = ParameterSet;
        int[] first = new int[_groups.Length];
        Array.Fill(first, -1);
        nopt_step_state?[] taken = new nopt_step_state?[_groups.Length];
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            // A new tensor is as one of a group that has taken no step.
            nopt_step_state own =
                origins[tensor] < 0 ? NoSteps : histories[previous.ParameterSet.GetGroup(origins[tensor])];
            int group = set.GetGroup(tensor);
            if (taken[group] is not { } other)
            {
                (taken[group], first[group]) = (own, tensor);
            }
            else if (own.step != other.step
                || own.beta1_product != other.beta1_product || own.beta2_product != other.beta2_product)
            {
                throw new ArgumentException(
                    $"Group {group} would have tensors of different histories: {Describe(first[group], other)} and "
                    + $"{Describe(tensor, own)}, but a group has one step count, with which the states of all of its tensors are "
                    + "corrected. Put one of them into a group of its own.",
                    nameof(previous));
            }
        }

        return taken;

        string Describe(int tensor, nopt_step_state state) =>
            StateTransfer.Describe(set, tensor) + (origins[tensor] < 0
                ? " is new"
                : FormattableString.Invariant($" has taken {state.step} steps (products of the betas: {state.beta1_product}, ")
                    + FormattableString.Invariant($"{state.beta2_product})"));
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
                        + $"but that of the previous optimizer has {from.ElementCount} of {from.DType}: the parameter's type is "
                        + "another. Give it another name, to begin anew.",
                        nameof(previous));
                }

                pairs.Add((from, to));
            }
        }

        return pairs;
    }
}
