namespace NativeOpt;

/// <summary>
/// The name of a state buffer of an optimizer: "exp_avg" and so on, as the rule describes it (<see cref="Rule.States"/>), or
/// "master_param" or "param_remainder" for <see cref="MasterWeights"/>. A text can be used where a name is wanted.
/// </summary>
/// <remarks>
/// A state has one element for each of the parameter's, of <see cref="OptimizerOptions.StateType"/> (or float32, see
/// <see cref="OptimizerOptions.MinDynamic8ElementCount"/>). <see cref="RuleState.InitialValue"/> says what it holds before the
/// first step.
/// </remarks>
/// <param name="Name">The name, which state files use, too.</param>
public readonly record struct StateRole(string Name)
{
    /// <summary>The first moment m of the Adam family, "exp_avg".</summary>
    public static StateRole ExpAvg => new("exp_avg");

    /// <summary>The second moment v of the Adam family, "exp_avg_sq".</summary>
    public static StateRole ExpAvgSq => new("exp_avg_sq");

    /// <summary>The running maximum of v with AMSGrad, "max_exp_avg_sq".</summary>
    public static StateRole MaxExpAvgSq => new("max_exp_avg_sq");

    /// <summary>The momentum of SGD, "momentum_buffer".</summary>
    public static StateRole MomentumBuffer => new("momentum_buffer");

    /// <summary>
    /// With <see cref="MasterWeights.Float32"/> the parameter in float32, "master_param". It is a copy of the parameter before
    /// the first step. A float32 parameter has none.
    /// </summary>
    public static StateRole MasterParam => new("master_param");

    /// <summary>
    /// With <see cref="MasterWeights.Remainder"/> the lower 16 bits of the float32 whose upper ones, rounded, are the
    /// parameter; "param_remainder". A float32 parameter has none.
    /// </summary>
    public static StateRole ParamRemainder => new("param_remainder");

    /// <summary>Makes a role of its name.</summary>
    /// <param name="name">The name.</param>
    public static implicit operator StateRole(string name) => new(name);

    /// <summary>Makes a role of its name.</summary>
    /// <param name="name">The name.</param>
    /// <returns>The role.</returns>
    public static StateRole FromString(string name) => new(name);

    /// <summary>The name.</summary>
    /// <returns><see cref="Name"/>.</returns>
    public override string ToString() => Name ?? "";
}
