using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="Adopt"/>; defaults are those of the authors' code.</summary>
public sealed record AdoptOptions : OptimizerOptions
{
    /// <summary>The decay rate of the first moment, in [0, 1); 0.9 by default.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay rate of the second moment, in [0, 1); 0.9999 by default.</summary>
    public double Beta2 { get; init; } = 0.9999;

    /// <summary>The smallest denominator, 0 or 1.18e-38 to 3.4e38; 1e-6 by default.</summary>
    public double Epsilon { get; init; } = 1e-6;

    /// <summary>p, the power of t − 1 that the normalized gradient is clipped to, 0 to 1e16; 0.25 by default.</summary>
    public double ClipExponent { get; init; } = 0.25;

    /// <summary>Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient.</summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "adopt";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AdoptGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.Set("eps", Epsilon);
        values.Set("clip_exponent", ClipExponent);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
    }
}

/// <summary>
/// ADOPT (Taniguchi et al. 2024, arXiv 2411.02853, "ADOPT: modified Adam can converge with any β₂ with the optimal rate"), the
/// clipped version: m ← β₁m + (1 − β₁)·clip(g/max(√v, ε), −c, c) with c = (t − 1)^p; θ ← θ − ηm; then v ← β₂v + (1 − β₂)g².
/// </summary>
/// <remarks>
/// The states are exp_avg and exp_avg_sq. The first step only sets v to g²: parameter and m stay, and nothing decays. v is the
/// one from before the step's gradient, and nothing is bias-corrected. L2 weight decay is the default, as in the authors'
/// code.
/// </remarks>
public sealed class Adopt : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Adopt(ParameterSet parameters, AdoptOptions? options = null)
        : this(parameters, [options ?? new AdoptOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Adopt(ParameterSet parameters, IReadOnlyList<AdoptOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AdoptGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AdoptGroup> Groups { get; }

    /// <summary>The decay rate of the first moment, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdoptGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>The decay rate of the second moment, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdoptGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>The smallest denominator, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdoptGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }

    /// <summary>
    /// p, the power of t − 1 that the normalized gradient is clipped to, 0 to 1e16. It is that of group 0, and may
    /// change between steps.
    /// </summary>
    /// <inheritdoc cref="AdoptGroup.ClipExponent" path="/exception"/>
    public double ClipExponent
    {
        get => Groups[0].ClipExponent;
        set => Groups[0].ClipExponent = value;
    }
}

/// <summary>A group of <see cref="Adopt"/>.</summary>
public sealed class AdoptGroup : OptimizerGroup
{
    internal AdoptGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>The decay rate of the first moment, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1
    {
        get => this["beta1"];
        set => Set("beta1", value);
    }

    /// <summary>The decay rate of the second moment, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => this["beta2"];
        set => Set("beta2", value);
    }

    /// <summary>The smallest denominator, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }

    /// <summary>
    /// p, the power of t − 1 that the normalized gradient is clipped to, 0 to 1e16. It may change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double ClipExponent
    {
        get => this["clip_exponent"];
        set => Set("clip_exponent", value);
    }
}
