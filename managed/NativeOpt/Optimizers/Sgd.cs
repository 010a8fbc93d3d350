using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="Sgd"/>; defaults are torch's.</summary>
public sealed record SgdOptions : OptimizerOptions
{
    /// <summary>
    /// Decay of the momentum buffer, 0 or 1.18e-38 to 3.4e38; 0, the default, uses no buffer (see <see cref="SgdGroup.Momentum"/>).
    /// </summary>
    public double Momentum { get; init; }

    /// <summary>
    /// The part of a gradient that is kept out of the momentum buffer after the tensor's first step, in [0, 1]; 0 by default.
    /// </summary>
    public double Dampening { get; init; }

    /// <summary>Whether momentum is Nesterov's; needs <see cref="Momentum"/> > 0 and no <see cref="Dampening"/>.</summary>
    public bool Nesterov { get; init; }

    /// <summary>Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient.</summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "sgd";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new SgdGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("momentum", Momentum);
        values.Set("dampening", Dampening);
        values.SetFlag("nesterov", Nesterov);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
        values.Require(!Nesterov || Dampening == 0, $"{nameof(Nesterov)} needs a {nameof(Dampening)} of 0.");
    }
}

/// <summary>
/// Stochastic gradient descent with momentum (Sutskever et al. 2013, "On the importance of initialization and momentum in
/// deep learning"), as torch defines it: b ← μb + (1 − d)·g with the dampening d, in the tensor's first step b ← g; θ ← θ − η·b,
/// with Nesterov θ ← θ − η·(g + μb), without momentum θ ← θ − η·g.
/// </summary>
public sealed class Sgd : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Sgd(ParameterSet parameters, SgdOptions? options = null)
        : this(parameters, [options ?? new SgdOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Sgd(ParameterSet parameters, IReadOnlyList<SgdOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<SgdGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<SgdGroup> Groups { get; }

    /// <summary>
    /// Decay of the momentum buffer of group 0, 0 or 1.18e-38 to 3.4e38; may change between steps. From 0 to more, the buffer begins
    /// anew at zero; an optimizer of several groups cannot change between the two.
    /// </summary>
    /// <inheritdoc cref="SgdGroup.Momentum" path="/exception"/>
    public double Momentum
    {
        get => Groups[0].Momentum;
        set => Groups[0].Momentum = value;
    }

    /// <summary>
    /// The part of a gradient that is kept out of the momentum buffer, in [0, 1]. It is that of group 0, and may change between
    /// steps.
    /// </summary>
    /// <inheritdoc cref="SgdGroup.Dampening" path="/exception"/>
    public double Dampening
    {
        get => Groups[0].Dampening;
        set => Groups[0].Dampening = value;
    }
}

/// <summary>A group of <see cref="Sgd"/>.</summary>
public sealed class SgdGroup : OptimizerGroup
{
    internal SgdGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>
    /// The decay rate of the momentum buffer, 0 or 1.18e-38 to 3.4e38. It may change between steps. When it goes from 0 to more, the
    /// buffer begins anew at zero, whatever it held before; an optimizer of several groups cannot change between 0 and more.
    /// </summary>
    /// <remarks>
    /// A state that is saved while momentum is 0 has no buffer, so that a run which is resumed from it takes the same steps as
    /// the one that went on. torch keeps the old buffer instead, and goes on with it. A buffer that the host binds while
    /// momentum is 0 is used as it is.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ArgumentException">
    /// The value is 0, and <see cref="SgdOptions.Nesterov"/> needs more; or it is 0 and those of other groups are not, or the
    /// other way round.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Momentum
    {
        get => this["momentum"];
        set => Set("momentum", value);
    }

    /// <summary>
    /// The part of a gradient that is kept out of the momentum buffer after the tensor's first step, in [0, 1]. It may change
    /// between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ArgumentException">The value is above 0, and <see cref="Nesterov"/> needs 0.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Dampening
    {
        get => this["dampening"];
        set
        {
            RequireNoBoth(Nesterov, value);
            Set("dampening", value);
        }
    }

    /// <summary>
    /// Whether momentum is Nesterov's, which needs <see cref="Momentum"/> above 0 and no <see cref="Dampening"/>. It may change
    /// between steps.
    /// </summary>
    /// <exception cref="ArgumentException"><see cref="Momentum"/> is 0, or <see cref="Dampening"/> is not.</exception>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool Nesterov
    {
        get => HasFlag("nesterov");
        set
        {
            RequireNoBoth(value, Dampening);
            SetFlagOf("nesterov", value);
        }
    }

    private static void RequireNoBoth(bool nesterov, double value)
    {
        if (nesterov && value > 0)
        {
            throw new ArgumentException($"{nameof(Nesterov)} needs a {nameof(Dampening)} of 0.", nameof(value));
        }
    }
}
