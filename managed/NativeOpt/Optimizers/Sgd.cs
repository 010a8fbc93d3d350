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
    /// <summary>Makes the optimizer of a set.</summary>
    /// <param name="parameters">The set; it may have no other optimizer.</param>
    /// <param name="options">The options; null: the defaults.</param>
    /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="ArgumentException">Nesterov without momentum.</exception>
    /// <exception cref="InvalidOperationException">The set has an optimizer already.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public Sgd(ParameterSet parameters, SgdOptions? options = null)
        : base(parameters, options ?? new SgdOptions())
    {
    }

    /// <summary>
    /// Decay of the momentum buffer, finite and >= 0; may change between steps. From 0 to more, the buffer starts at zero.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ArgumentException">The value is 0, and <see cref="SgdOptions.Nesterov"/> needs more.</exception>
    public double Momentum
    {
        get => Hyperparameters.momentum;
        set => Hyperparameters = Hyperparameters with { momentum = value };
    }
}
