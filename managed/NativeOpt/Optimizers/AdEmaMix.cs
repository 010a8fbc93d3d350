using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="AdEmaMix"/>; defaults are those of the paper and its code, without schedules.</summary>
public sealed record AdEmaMixOptions : AdamFamilyOptions
{
    /// <summary>The decay rate of the slow running average, in [0, 1); 0.9999 by default.</summary>
    public double Beta3 { get; init; } = 0.9999;

    /// <summary>α, the weight of the slow running average, 0 to 1e16; 5 by default.</summary>
    public double Alpha { get; init; } = 5;

    /// <summary>
    /// T, the step from which on α(t) and β₃(t) are α and β₃, from 0 to 2^53; 0, the default, has no schedules.
    /// </summary>
    public long TAlphaBeta3 { get; init; }

    /// <summary>
    /// Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient; true by default.
    /// </summary>
    public bool DecoupledWeightDecay { get; init; } = true;

    internal override string RuleName => "ademamix";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AdEmaMixGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta3", Beta3);
        values.Set("alpha", Alpha);
        values.Set("t_alpha_beta3", TAlphaBeta3);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
    }
}

/// <summary>
/// AdEMAMix (Pagliardini et al. 2024, arXiv 2409.03137, "The AdEMAMix optimizer: better, faster, older", algorithm 1): θ ← (1
/// − ηλ)θ − η·(m̂₁ + α(t)·m₂)/(√v̂ + ε), with a fast running average m₁ of the gradient and a slow one m₂, whose decay rates
/// are β₁ and β₃.
/// </summary>
/// <remarks>
/// The states are exp_avg_fast, exp_avg_slow and exp_avg_sq; exp_avg_slow has no bias correction. With a T above 0, α(t) rises
/// linearly from 0 to α, and β₃(t) from β₁ to β₃ so that the half-life of the slow average rises linearly, as the paper has
/// it; the authors' torch code adds 1e-8 within the logarithms of that. α is 5 in the paper and 2 in the torch code.
/// </remarks>
public sealed class AdEmaMix : AdamFamilyOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public AdEmaMix(ParameterSet parameters, AdEmaMixOptions? options = null)
        : this(parameters, [options ?? new AdEmaMixOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public AdEmaMix(ParameterSet parameters, IReadOnlyList<AdEmaMixOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AdEmaMixGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AdEmaMixGroup> Groups { get; }

    /// <summary>
    /// The decay rate of the slow running average, in [0, 1). It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdEmaMixGroup.Beta3" path="/exception"/>
    public double Beta3
    {
        get => Groups[0].Beta3;
        set => Groups[0].Beta3 = value;
    }

    /// <summary>
    /// α, the weight of the slow running average, 0 to 1e16. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdEmaMixGroup.Alpha" path="/exception"/>
    public double Alpha
    {
        get => Groups[0].Alpha;
        set => Groups[0].Alpha = value;
    }

    /// <summary>
    /// T, the step from which on α(t) and β₃(t) are α and β₃, from 0 to 2^53. It is that of group 0, and may change between
    /// steps.
    /// </summary>
    /// <inheritdoc cref="AdEmaMixGroup.TAlphaBeta3" path="/exception"/>
    public long TAlphaBeta3
    {
        get => Groups[0].TAlphaBeta3;
        set => Groups[0].TAlphaBeta3 = value;
    }
}

/// <summary>A group of <see cref="AdEmaMix"/>.</summary>
public sealed class AdEmaMixGroup : AdamFamilyGroup
{
    internal AdEmaMixGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>The decay rate of the slow running average, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta3
    {
        get => this["beta3"];
        set => Set("beta3", value);
    }

    /// <summary>α, the weight of the slow running average, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Alpha
    {
        get => this["alpha"];
        set => Set("alpha", value);
    }

    /// <summary>T, the step from which on α(t) and β₃(t) are α and β₃, from 0 to 2^53. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long TAlphaBeta3
    {
        get => (long)this["t_alpha_beta3"];
        set => Set("t_alpha_beta3", value);
    }
}
