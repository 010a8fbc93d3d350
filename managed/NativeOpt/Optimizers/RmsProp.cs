using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="RmsProp"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 1e-2.
/// </summary>
public sealed record RmsPropOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public RmsPropOptions()
    {
        LearningRate = 1e-2;
    }

    /// <summary>The decay rate of the running averages, in [0, 1); 0.99 by default.</summary>
    public double Alpha { get; init; } = 0.99;

    /// <summary>What is added to the root, 0 or 1.18e-38 to 3.4e38; 1e-8 by default.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>The decay rate of the momentum buffer, 0 or 1.18e-38 to 3.4e38; 0, the default, uses no buffer.</summary>
    public double Momentum { get; init; }

    /// <summary>
    /// Whether the square of the gradient's running average is taken from the second moment, which leaves an estimate of the
    /// variance. Needs one more state buffer.
    /// </summary>
    public bool Centered { get; init; }

    internal override string RuleName => "rmsprop";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new RmsPropGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("alpha", Alpha);
        values.Set("eps", Epsilon);
        values.Set("momentum", Momentum);
        values.SetFlag("centered", Centered);
    }
}

/// <summary>
/// RMSprop (Tieleman &amp; Hinton 2012, "Lecture 6.5: RMSProp"), as torch defines it: v ← αv + (1 − α)g²; u = g/(√v + ε); θ ←
/// θ − ηu, with momentum b ← μb + u and θ ← θ − ηb, and with L2 weight decay added to the gradient. Centered (Graves 2013,
/// arXiv 1308.0850, equations 38 to 41), v less the square of the running average of g, or 0 if that is more, stands under the
/// root.
/// </summary>
/// <remarks>
/// The states are square_avg, which is v; momentum_buffer, which is b, with a momentum above 0; and grad_avg if it is
/// centered. Nothing is bias-corrected.
/// </remarks>
public sealed class RmsProp : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public RmsProp(ParameterSet parameters, RmsPropOptions? options = null)
        : this(parameters, [options ?? new RmsPropOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public RmsProp(ParameterSet parameters, IReadOnlyList<RmsPropOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<RmsPropGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<RmsPropGroup> Groups { get; }

    /// <summary>
    /// The decay rate of the running averages, in [0, 1). It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="RmsPropGroup.Alpha" path="/exception"/>
    public double Alpha
    {
        get => Groups[0].Alpha;
        set => Groups[0].Alpha = value;
    }

    /// <summary>What is added to the root, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="RmsPropGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }

    /// <summary>
    /// The decay rate of the momentum buffer, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps; see
    /// <see cref="RmsPropGroup.Momentum"/>.
    /// </summary>
    /// <inheritdoc cref="RmsPropGroup.Momentum" path="/exception"/>
    public double Momentum
    {
        get => Groups[0].Momentum;
        set => Groups[0].Momentum = value;
    }
}

/// <summary>A group of <see cref="RmsProp"/>.</summary>
public sealed class RmsPropGroup : OptimizerGroup
{
    internal RmsPropGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>The decay rate of the running averages, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Alpha
    {
        get => this["alpha"];
        set => Set("alpha", value);
    }

    /// <summary>What is added to the root, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }

    /// <summary>
    /// The decay rate of the momentum buffer, 0 or 1.18e-38 to 3.4e38. It may change between steps. Once it is above 0, the buffer
    /// starts at zero; an optimizer of several groups changes between 0 and more in all of them
    /// (<see cref="Optimizer.SetHyperparameter"/>).
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ArgumentException">
    /// The value would change which states there are, and the optimizer has several groups or may not have such a state.
    /// </exception>
    /// <exception cref="InvalidOperationException">
    /// The value leads to a state that is not bound, while other states are the host's.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Momentum
    {
        get => this["momentum"];
        set => Set("momentum", value);
    }

    /// <summary>
    /// Whether the square of the gradient's running average is taken from the second moment. It may change between steps, in
    /// all groups at once (<see cref="Optimizer.SetFlag"/> where there are several): the running average begins at zero with
    /// the steps from then on, or goes on where it was before.
    /// </summary>
    /// <exception cref="ArgumentException">The optimizer has several groups, or may not have such a state.</exception>
    /// <exception cref="InvalidOperationException">
    /// The state grad_avg is not bound, while other states are the host's; or a <see cref="DimerOptimizer"/> has displaced the
    /// parameters.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool Centered
    {
        get => HasFlag("centered");
        set => SetFlagOf("centered", value);
    }
}
