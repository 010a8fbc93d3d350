using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The state buffers of an optimizer: which there are, what they are made of, and which native roles they have. What
/// allocates them and what announces their bytes both ask here.
/// </summary>
internal sealed class StateLayouts
{
    private readonly OptimizerOptions _options;
    private readonly DType?[] _ofTensors;
    private readonly Dictionary<StateRole, BufferLayout> _layouts = [];
    private readonly nopt_role _nativeMasterRole;

    /// <param name="parameters">What the parameters are made of.</param>
    /// <param name="options">The optimizer's.</param>
    /// <param name="ofTensors">The types of each tensor's states; null for those of the options.</param>
    public StateLayouts(BufferLayout parameters, OptimizerOptions options, DType?[] ofTensors)
    {
        _options = options;
        _ofTensors = ofTensors;
        Rule = options.Rule;
        foreach (RuleState state in Rule.States)
        {
            DType[] types = new DType[ofTensors.Length];
            for (int tensor = 0; tensor < types.Length; tensor++)
            {
                types[tensor] = options.StateTypeOf(state, parameters.ElementCounts[tensor], ofTensors[tensor]);
            }

            _layouts.Add(state.Role, parameters.With(types));
        }

        (StateRole? Role, nopt_role Native, DType Type) master = options.MasterWeights switch
        {
            MasterWeights.Float32 => (StateRole.MasterParam, nopt_role.NOPT_ROLE_MASTER_PARAM, DType.Float32),
            MasterWeights.Remainder => (StateRole.ParamRemainder, nopt_role.NOPT_ROLE_PARAM_REMAINDER, DType.UInt16),
            _ => ((StateRole?)null, default(nopt_role), default(DType)),
        };
        MasterRole = master.Role;
        _nativeMasterRole = master.Native;
        if (master.Role is { } role)
        {
            _layouts.Add(role, parameters.With(master.Type, static type => type != DType.Float32));
        }
    }

    public Rule Rule { get; }

    /// <summary>The master weights, if there are any.</summary>
    public StateRole? MasterRole { get; }

    /// <summary>All states that the optimizer has with some options.</summary>
    public IEnumerable<StateRole> All => _layouts.Keys;

    /// <summary>The native roles of <see cref="All"/>.</summary>
    public IEnumerable<nopt_role> AllNative => All.Select(role => Native(role)!.Value);

    /// <summary>What a role's buffers are made of; a state of the rule's may become of other types.</summary>
    public BufferLayout this[StateRole role]
    {
        get => _layouts[role];
        set => _layouts[role] = value;
    }

    /// <summary>The native role of a state, whether or not the present hyperparameters lead to it; null if there is none.</summary>
    public nopt_role? Native(StateRole role) =>
        role == MasterRole ? _nativeMasterRole
        : Rule.FindState(role) is { } state ? NativeRole(state)
        : null;

    /// <summary>The native role of a state; null if steps with these hyperparameters have no such state.</summary>
    public nopt_role? Native(StateRole role, in nopt_hyperparams hyperparameters) =>
        Rule.FindState(role) is { } state && !Rule.HasState(state, hyperparameters) ? null : Native(role);

    /// <summary>All states: those of the rule with these hyperparameters, and the master weights.</summary>
    public IEnumerable<StateRole> Roles(nopt_hyperparams hyperparameters)
    {
        IEnumerable<StateRole> roles =
            Rule.States.Where(state => Rule.HasState(state, hyperparameters)).Select(static state => state.Role);
        return MasterRole is { } master ? roles.Append(master) : roles;
    }

    /// <summary>
    /// Throws unless every state that these hyperparameters need may have the types that the options want, and one is bfloat16
    /// where such states are rounded at random.
    /// </summary>
    public void RequireTypes(nopt_hyperparams hyperparameters, string paramName)
    {
        RuleState[] states = [.. Rule.States.Where(state => Rule.HasState(state, hyperparameters))];
        foreach (RuleState state in states)
        {
            RequireTypes(state, paramName);
        }

        if (_options.StochasticRoundingStates
            && !states.Any(state => Array.IndexOf(this[state.Role].Types.ToArray(), DType.BFloat16) >= 0))
        {
            throw new ArgumentException(
                $"StochasticRoundingStates is set, but no state of the rule \"{Rule.Name}\" with these options is BFloat16; set "
                + "StateType or StateTypes, or leave it out.",
                paramName);
        }
    }

    /// <summary>Throws unless a state that the optimizer allocates may have the types that the options want.</summary>
    public void RequireTypes(RuleState state, string paramName)
    {
        // Blocks of 8 bits can be filled with 0 alone.
        bool beginsAtZero = state.InitialValue == 0 && state.InitialHyperparameter is null;
        DType[] allowed = [.. state.DTypes.Where(type => beginsAtZero || type != DType.Dynamic8)];
        ReadOnlySpan<DType> types = this[state.Role].Types;
        for (int tensor = 0; tensor < types.Length; tensor++)
        {
            if (!allowed.Contains(types[tensor]))
            {
                throw new ArgumentException(
                    $"{_options.SourceOfStateType(state, tensor, _ofTensors[tensor])} is {types[tensor]}, but the state "
                    + $"{state.Name} of the rule \"{Rule.Name}\" can only be {string.Join(" or ", allowed)}.",
                    paramName);
            }
        }
    }

    public static nopt_role NativeRole(RuleState state) => nopt_role.NOPT_ROLE_STATE + state.Index;

    public static nopt_role NativeRole(RuleInput input) => nopt_role.NOPT_ROLE_INPUT + input.Index;
}
