using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Lion"/>; the defaults are the paper's, with a <see cref="OptimizerOptions.LearningRate"/> of 1e-4.
/// </summary>
public sealed record LionOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public LionOptions()
    {
        LearningRate = 1e-4;
    }

    /// <summary>The weight of the running average in the update, in [0, 1); 0.9 by default.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay rate of the gradient's running average, in [0, 1); 0.99 by default.</summary>
    public double Beta2 { get; init; } = 0.99;

    /// <summary>
    /// Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient; true by default.
    /// </summary>
    public bool DecoupledWeightDecay { get; init; } = true;

    internal override string RuleName => "lion";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new LionGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
    }
}

/// <summary>
/// Lion (Chen et al. 2023, arXiv 2302.06675, "Symbolic discovery of optimization algorithms", algorithm 2): θ ← (1 − ηλ)θ −
/// η·sign(β₁m + (1 − β₁)g); then m ← β₂m + (1 − β₂)g.
/// </summary>
/// <remarks>
/// The state is exp_avg, which is m and has no bias correction. Each element moves by η, or not at all where the sign is that
/// of 0; the paper recommends a learning rate 3 to 10 times smaller than AdamW's, and a weight decay larger by as much. The
/// authors' code has neither L2 weight decay nor <see cref="OptimizerOptions.Maximize"/>.
/// </remarks>
public sealed class Lion : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Lion(ParameterSet parameters, LionOptions? options = null)
        : this(parameters, [options ?? new LionOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Lion(ParameterSet parameters, IReadOnlyList<LionOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<LionGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<LionGroup> Groups { get; }

    /// <summary>
    /// The weight of the running average in the update, in [0, 1). It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="LionGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>
    /// The decay rate of the gradient's running average, in [0, 1). It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="LionGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }
}

/// <summary>A group of <see cref="Lion"/>.</summary>
public sealed class LionGroup : OptimizerGroup
{
    internal LionGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>The weight of the running average in the update, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1
    {
        get => this["beta1"];
        set => Set("beta1", value);
    }

    /// <summary>The decay rate of the gradient's running average, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => this["beta2"];
        set => Set("beta2", value);
    }
}
