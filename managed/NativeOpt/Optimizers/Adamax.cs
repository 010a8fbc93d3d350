using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Adamax"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 2e-3.
/// </summary>
public sealed record AdamaxOptions : AdamFamilyOptions
{
    /// <summary>Makes the default options.</summary>
    public AdamaxOptions()
    {
        LearningRate = 2e-3;
    }

    internal override string RuleName => "adamax";
}

/// <summary>
/// Adamax (Kingma &amp; Ba 2015, "Adam: a method for stochastic optimization", algorithm 2), as torch defines it: u ← max(β₂u,
/// |g| + ε); θ ← θ − η/(1 − β₁^t)·m/u, with L2 weight decay added to the gradient.
/// </summary>
/// <remarks>
/// The states are exp_avg and exp_inf, which is u and has no bias to correct. ε within the maximum is torch's; the paper has
/// none.
/// </remarks>
public sealed class Adamax : AdamFamilyOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Adamax(ParameterSet parameters, AdamaxOptions? options = null)
        : this(parameters, [options ?? new AdamaxOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Adamax(ParameterSet parameters, IReadOnlyList<AdamaxOptions> options)
        : base(parameters, options)
    {
    }
}
