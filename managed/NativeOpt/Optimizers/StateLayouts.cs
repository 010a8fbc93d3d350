namespace NativeOpt;

/// <summary>
/// The state buffers of an optimizer: which there are, and what they are made of. What allocates them and what announces
/// their bytes both ask here.
/// </summary>
internal sealed class StateLayouts
{
    private static readonly StateRole[] AllRoles = Enum.GetValues<StateRole>();

    private readonly BufferLayout _masters;

    /// <param name="parameters">What the parameters are made of.</param>
    /// <param name="options">The optimizer's.</param>
    public StateLayouts(BufferLayout parameters, OptimizerOptions options)
    {
        RuleStates = parameters.With(options.StateTypeFor);
        MasterRole = options.MasterWeights switch
        {
            MasterWeights.Float32 => StateRole.MasterParam,
            MasterWeights.Remainder => StateRole.ParamRemainder,
            _ => null,
        };
        _masters = parameters.With(
            MasterRole == StateRole.ParamRemainder ? DType.UInt16 : DType.Float32, static type => type != DType.Float32);
    }

    /// <summary>What every state of the rule is made of.</summary>
    public BufferLayout RuleStates { get; }

    /// <summary>MasterParam or ParamRemainder, if there is one of them.</summary>
    public StateRole? MasterRole { get; }

    /// <summary>What a role's buffers are made of.</summary>
    public BufferLayout this[StateRole role] => role == MasterRole ? _masters : RuleStates;

    /// <summary>Whether there is such a state.</summary>
    /// <param name="role">Which state.</param>
    /// <param name="mask">The roles of the rule, by bit. Master weights are not the rule's choice: they are in no mask.</param>
    public bool Includes(StateRole role, uint mask) => role == MasterRole || (mask & (1u << (int)role)) != 0;

    /// <summary>All states, in the order of roles.</summary>
    public IEnumerable<StateRole> Roles(uint mask) => AllRoles.Where(role => Includes(role, mask));
}
