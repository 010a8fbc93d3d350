using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="RAdam"/>; defaults are torch's.</summary>
public sealed record RAdamOptions : AdamFamilyOptions
{
    /// <summary>Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient.</summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "radam";

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
    }
}

/// <summary>
/// RAdam (Liu et al. 2020, arXiv 1908.03265, "On the variance of the adaptive learning rate and beyond", algorithm 2), as
/// torch defines it: with ρ∞ = 2/(1 − β₂) − 1 and ρ = ρ∞ − 2tβ₂^t/(1 − β₂^t), θ ← θ − ηr·m̂·√(1 − β₂^t)/(√v + ε) where ρ > 5,
/// with r = √((ρ − 4)(ρ − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρ)), and θ ← θ − η·m̂ before.
/// </summary>
/// <remarks>
/// The states are exp_avg and exp_avg_sq, as with <see cref="Adam"/>, but ε is added before the bias of v is corrected. With a
/// β₂ of 0.999 the sixth step is the first one that v scales.
/// </remarks>
public sealed class RAdam : AdamFamilyOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public RAdam(ParameterSet parameters, RAdamOptions? options = null)
        : this(parameters, [options ?? new RAdamOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public RAdam(ParameterSet parameters, IReadOnlyList<RAdamOptions> options)
        : base(parameters, options)
    {
    }
}
