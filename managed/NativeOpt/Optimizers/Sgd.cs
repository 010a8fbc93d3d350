using System.Runtime.CompilerServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Options of <see cref="Sgd"/>; defaults are torch's.</summary>
public sealed record SgdOptions : OptimizerOptions
{
    /// <summary>Decay of the momentum buffer, finite and >= 0; 0, the default, uses no buffer.</summary>
    public double Momentum { get; init; }

    /// <summary>Whether momentum is Nesterov's; needs <see cref="Momentum"/> > 0.</summary>
    public bool Nesterov { get; init; }

    /// <summary>Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient.</summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "sgd";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, nopt_hyperparams hyperparameters) =>
        new SgdGroup(optimizer, index, hyperparameters);

    internal override void RequireLike(OptimizerOptions first, int group, string paramName)
    {
        base.RequireLike(first, group, paramName);
        double other = ((SgdOptions)first).Momentum;
        if ((Momentum == 0) != (other == 0))
        {
            throw new ArgumentException(
                FormattableString.Invariant(
                    $"options[{group}].Momentum is {Momentum}, but options[0].Momentum is {other}; either all groups have ")
                + $"momentum or none has. Make an optimizer of its own for the tensors of group {group}.",
                paramName);
        }
    }

    internal override nopt_hyperparams ToNative()
    {
        nopt_hyperparams native = base.ToNative();
        native.momentum = Momentum;
        native.flags |= Flag(Nesterov, nopt_flag.NOPT_FLAG_NESTEROV)
            | Flag(DecoupledWeightDecay, nopt_flag.NOPT_FLAG_DECOUPLED_WEIGHT_DECAY);
        return native;
    }
}

/// <summary>
/// Stochastic gradient descent with momentum (Sutskever et al. 2013, "On the importance of initialization and momentum in
/// deep learning"), as torch defines it, without dampening: b ← μb + g; θ ← θ − η·b, with Nesterov θ ← θ − η·(g + μb),
/// without momentum θ ← θ − η·g.
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
    /// Decay of the momentum buffer of group 0, finite and >= 0; may change between steps. From 0 to more, the buffer starts
    /// at zero; an optimizer of several groups cannot change between the two.
    /// </summary>
    /// <inheritdoc cref="SgdGroup.Momentum" path="/exception"/>
    public double Momentum
    {
        get => Groups[0].Momentum;
        set => Groups[0].Momentum = value;
    }
}
