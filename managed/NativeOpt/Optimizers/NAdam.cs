using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="NAdam"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 2e-3.
/// </summary>
public sealed record NAdamOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public NAdamOptions()
    {
        LearningRate = 2e-3;
    }

    /// <summary>The decay rate of the first moment, which the momentum approaches, in [0, 1); 0.9 by default.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay rate of the second moment, in [0, 1); 0.999 by default.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>What is added to the root of the second moment, 0 or 1.18e-38 to 3.4e38; 1e-8 by default.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>ψ, how fast the momentum approaches β₁, 0 to 1e16; 4e-3 by default.</summary>
    public double MomentumDecay { get; init; } = 4e-3;

    /// <summary>Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient.</summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "nadam";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new NAdamGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.Set("eps", Epsilon);
        values.Set("momentum_decay", MomentumDecay);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
    }
}

/// <summary>
/// NAdam (Dozat 2016, "Incorporating Nesterov momentum into Adam"), as torch defines it: θ ← θ − η·((1 − μ)/(1 − Π)·g + μ′/(1
/// − Πμ′)·m)/(√v̂ + ε), with μ = β₁(1 − 0.5·0.96^(tψ)), μ′ the μ of step t + 1, Π the product of the μ of all steps, and ψ the
/// momentum decay.
/// </summary>
/// <remarks>
/// The states are exp_avg and exp_avg_sq. Π is the running scalar "mu_product"
/// (<see cref="OptimizerGroup.GetRunningScalar"/>), which torch keeps as a state of each parameter, in float32. The bias of v
/// is corrected by the product of the β₂ of all steps.
/// </remarks>
public sealed class NAdam : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public NAdam(ParameterSet parameters, NAdamOptions? options = null)
        : this(parameters, [options ?? new NAdamOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public NAdam(ParameterSet parameters, IReadOnlyList<NAdamOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<NAdamGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<NAdamGroup> Groups { get; }

    /// <summary>
    /// The decay rate of the first moment, which the momentum approaches, in [0, 1). It is that of group 0, and may change
    /// between steps.
    /// </summary>
    /// <inheritdoc cref="NAdamGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>The decay rate of the second moment, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="NAdamGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>
    /// What is added to the root of the second moment, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="NAdamGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }

    /// <summary>
    /// ψ, how fast the momentum approaches β₁, 0 to 1e16. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="NAdamGroup.MomentumDecay" path="/exception"/>
    public double MomentumDecay
    {
        get => Groups[0].MomentumDecay;
        set => Groups[0].MomentumDecay = value;
    }
}

/// <summary>A group of <see cref="NAdam"/>.</summary>
public sealed class NAdamGroup : OptimizerGroup
{
    internal NAdamGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>
    /// The decay rate of the first moment, which the momentum approaches, in [0, 1). It may change between steps.
    /// </summary>
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

    /// <summary>What is added to the root of the second moment, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }

    /// <summary>ψ, how fast the momentum approaches β₁, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double MomentumDecay
    {
        get => this["momentum_decay"];
        set => Set("momentum_decay", value);
    }
}
