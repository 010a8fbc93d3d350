namespace NativeOpt;

/// <summary>How the weight a of the inverse part of <see cref="DualAdam"/> falls; t is the tensor's step, counted from 1.</summary>
public enum InverseWeightSchedule
{
    /// <summary>a = max(0, 1 − ξt), with <see cref="DualAdamOptions.SwitchingRate"/> as ξ.</summary>
    Linear = 0,

    /// <summary>
    /// a = b^⌊(t − 1)/n⌋, with <see cref="DualAdamOptions.Base"/> as b and <see cref="DualAdamOptions.StepsPerEpoch"/> as n: it is
    /// 1 during the first epoch.
    /// </summary>
    Exponential = 1,

    /// <summary>a = 1 up to <see cref="DualAdamOptions.SwitchStep"/>, and 0 from then on.</summary>
    Fixed = 2,

    /// <summary>a is <see cref="DualAdamOptions.InverseWeight"/>, which the host may set before each step.</summary>
    Given = 3,
}
