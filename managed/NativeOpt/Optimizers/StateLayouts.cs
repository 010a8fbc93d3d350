using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The state buffers of an optimizer: which there are, what they are made of, and which native roles they have. What
/// allocates them and what announces their bytes both ask here.
/// </summary>
internal sealed class StateLayouts
{
    private readonly BufferLayout _masters;
    private readonly nopt_role _nativeMasterRole;

    /// <param name="parameters">What the parameters are made of.</param>
    /// <param name="options">The optimizer's.</param>
    public StateLayouts(BufferLayout parameters, OptimizerOptions options)
    {
        Rule = options.Rule;
        RuleStates = parameters.With(options.StateTypeFor);
        (StateRole? Role, nopt_role Native, DType Type) master = options.MasterWeights switch
        {
            MasterWeights.Float32 => (StateRole.MasterParam, nopt_role.NOPT_ROLE_MASTER_PARAM, DType.Float32),
            MasterWeights.Remainder => (StateRole.ParamRemainder, nopt_role.NOPT_ROLE_PARAM_REMAINDER, DType.UInt16),
            _ => ((StateRole?)null, default(nopt_role), default(DType)),
        };
        MasterRole = master.Role;
        _nativeMasterRole = master.Native;
        _masters = parameters.With(master.Role is null ? DType.Float32 : master.Type, static type => type != DType.Float32);
    }

    public Rule Rule { get; }

    /// <summary>What every state of the rule is made of.</summary>
    public BufferLayout RuleStates { get; }

    /// <summary>The master weights, if there are any.</summary>
    public StateRole? MasterRole { get; }

    /// <summary>What a role's buffers are made of.</summary>
    public BufferLayout this[StateRole role] => role == MasterRole ? _masters : RuleStates;

    /// <summary>The native role of a state; null if steps with these hyperparameters have no such state.</summary>
    public nopt_role? Native(StateRole role, in nopt_hyperparams hyperparameters) =>
        role == MasterRole ? _nativeMasterRole
        : Rule.FindState(role) is { } state && Rule.HasState(state, hyperparameters) ? NativeRole(state)
        : null;

    /// <summary>All states: those of the rule with these hyperparameters, and the master weights.</summary>
    public IEnumerable<StateRole> Roles(nopt_hyperparams hyperparameters)
    {
        IEnumerable<StateRole> roles =
            Rule.States.Where(state => Rule.HasState(state, hyperparameters)).Select(static state => state.Role);
        return MasterRole is { } master ? roles.Append(master) : roles;
    }

    /// <summary>Throws unless every state that these hyperparameters need may have the types that the options want.</summary>
    public void RequireTypes(in nopt_hyperparams hyperparameters, string paramName)
    {
        foreach (RuleState state in Rule.States)
        {
            if (!Rule.HasState(state, hyperparameters))
            {
                continue;
            }

            // Blocks of 8 bits can be filled with 0 alone.
            bool beginsAtZero = state.InitialValue == 0 && state.InitialHyperparameter is null;
            DType[] allowed = [.. state.DTypes.Where(type => beginsAtZero || type != DType.Dynamic8)];
            foreach (DType type in RuleStates.Types)
            {
                if (!allowed.Contains(type))
                {
                    throw new ArgumentException(
                        $"StateType is {type}, but the state {state.Name} of the rule \"{Rule.Name}\" can only be "
                        + $"{string.Join(" or ", allowed)}.",
                        paramName);
                }
            }
        }
    }

    public static nopt_role NativeRole(RuleState state) => nopt_role.NOPT_ROLE_STATE + state.Index;

    public static nopt_role NativeRole(RuleInput input) => nopt_role.NOPT_ROLE_INPUT + input.Index;
}
