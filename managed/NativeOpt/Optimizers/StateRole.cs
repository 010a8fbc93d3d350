namespace NativeOpt;

/// <summary>
/// A state buffer of an optimizer: one element for each of the parameter's, of <see cref="OptimizerOptions.StateType"/> (or
/// float32, see <see cref="OptimizerOptions.MinDynamic8ElementCount"/>) and zero before the first step unless said otherwise.
/// Zeros of any type are bytes of 0.
/// </summary>
public enum StateRole
{
    /// <summary>First moment m of the Adam family; "exp_avg" in state files and in torch.</summary>
    ExpAvg = 2,

    /// <summary>Second moment v of the Adam family; "exp_avg_sq".</summary>
    ExpAvgSq = 3,

    /// <summary>Running maximum of v, with AMSGrad; "max_exp_avg_sq".</summary>
    MaxExpAvgSq = 4,

    /// <summary>Momentum of SGD; "momentum_buffer".</summary>
    MomentumBuffer = 5,

    /// <summary>
    /// With <see cref="MasterWeights.Float32"/> the parameter in float32, before the first step a copy of it; "master_param".
    /// A float32 parameter has none.
    /// </summary>
    MasterParam = 11,

    /// <summary>
    /// With <see cref="MasterWeights.Remainder"/> the lower 16 bits of the float32 whose upper ones, rounded, are the
    /// parameter; "param_remainder". A float32 parameter has none.
    /// </summary>
    ParamRemainder = 12,
}
