using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Options of <see cref="Adam"/>; defaults are torch's.</summary>
public sealed record AdamOptions : AdamFamilyOptions
{
    /// <summary>
    /// Whether weight decay shrinks the parameter (as <see cref="AdamW"/>) rather than being added to the gradient.
    /// </summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "adam";

    internal override nopt_hyperparams ToNative()
    {
        nopt_hyperparams native = base.ToNative();
        native.flags |= Flag(DecoupledWeightDecay, nopt_flag.NOPT_FLAG_DECOUPLED_WEIGHT_DECAY);
        return native;
    }
}

/// <summary>
/// Adam (Kingma &amp; Ba 2015, "Adam: a method for stochastic optimization", algorithm 1):
/// θ ← θ − η·m̂/(√v̂ + ε), with L2 weight decay added to the gradient.
/// </summary>
public sealed class Adam : AdamFamilyOptimizer
{
    /// <summary>Makes the optimizer of a set.</summary>
    /// <param name="parameters">The set; it may have no other optimizer.</param>
    /// <param name="options">The options; null: the defaults.</param>
    /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="InvalidOperationException">The set has an optimizer already.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public Adam(ParameterSet parameters, AdamOptions? options = null)
        : base(parameters, options ?? new AdamOptions())
    {
    }
}
