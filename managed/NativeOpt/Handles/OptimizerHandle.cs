using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// Owns a native optimizer, its claim on the parameter set, and the state buffers that it allocated. All of them are let
/// go together, after the last call that uses them.
/// </summary>
internal sealed unsafe class OptimizerHandle : NativeHandle
{
    private const int Free = 0;
    private const int Stepping = 1;
    private const int Closed = 2;

    private readonly ParameterSetHandle _set;
    private int _steps = Free;

    /// <param name="parameters">The set.</param>
    /// <param name="rule">The rule.</param>
    /// <param name="states">What the rule's states are made of.</param>
    /// <param name="groupCount">The number of groups of hyperparameters.</param>
    public OptimizerHandle(ParameterSet parameters, Rule rule, StateLayouts states, int groupCount)
    {
        _set = parameters.Handle;
        GroupCount = groupCount;
        Buffers = new BoundBuffers(_set);
        using HandleLease lease = new(_set, parameters);
        if (!_set.TryClaim(this))
        {
            throw new InvalidOperationException(
                "The parameter set already has an optimizer, which owns its state buffers. Dispose of that one first, or "
                + "make a second ParameterSet over other tensors.");
        }

        nopt_optimizer* optimizer = null;
        try
        {
            // Also for float32: an optimizer before this one may have had other states and inputs.
            foreach (RuleState state in rule.States)
            {
                _set.SetTypes(StateLayouts.NativeRole(state), states[state.Role]);
            }

            foreach (RuleInput input in rule.Inputs)
            {
                _set.SetTypes(StateLayouts.NativeRole(input), parameters.Float32Layout);
            }

            fixed (byte* name = RuleReader.Utf8(rule.Name))
            {
                NativeError.ThrowIfFailed(
                    NativeMethods.nopt_optimizer_create((nopt_param_set*)lease.Pointer, (sbyte*)name, &optimizer));
            }

            NativeError.ThrowIfFailed(NativeMethods.nopt_optimizer_set_group_count(optimizer, groupCount));
        }
        catch
        {
            _ = NativeMethods.nopt_optimizer_destroy(optimizer);
            _set.Unclaim();
            throw;
        }

        // Held until ReleaseHandle: the native set (and pinned arrays) must outlive the optimizer.
        bool added = false;
        _set.DangerousAddRef(ref added);
        SetHandle((nint)optimizer);
    }

    /// <summary>The state buffers.</summary>
    public BoundBuffers Buffers { get; }

    /// <summary>The number of groups of hyperparameters.</summary>
    public int GroupCount { get; }

    /// <summary>Begins a step, if no other one is on its way and the optimizer is not disposed of.</summary>
    public bool TryBeginStep() => Interlocked.CompareExchange(ref _steps, Stepping, Free) == Free;

    /// <summary>After <see cref="TryBeginStep"/>.</summary>
    public void EndStep() => Volatile.Write(ref _steps, Free);

    private protected override void WaitForSteps()
    {
        SpinWait wait = default;
        while (Interlocked.CompareExchange(ref _steps, Closed, Free) == Stepping)
        {
            wait.SpinOnce();
        }
    }

    protected override bool ReleaseHandle()
    {
        nopt_status status = NativeMethods.nopt_optimizer_destroy((nopt_optimizer*)handle);
        Buffers.ReleaseAll();
        _set.Unclaim();
        _set.DangerousRelease();
        return status == nopt_status.NOPT_OK;
    }
}
