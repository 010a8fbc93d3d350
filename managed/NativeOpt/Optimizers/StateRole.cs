namespace NativeOpt;

/// <summary>A state buffer of an optimizer: one element for each of the parameter's, zero before the first step.</summary>
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
}
