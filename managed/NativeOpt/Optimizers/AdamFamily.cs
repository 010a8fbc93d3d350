using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What the options of Adam, AdamW, InvAdam and DualAdam have in common; defaults are torch's.</summary>
public abstract record AdamFamilyOptions : OptimizerOptions
{
    private protected AdamFamilyOptions()
    {
    }

    /// <summary>Decay of the first moment, in [0, 1); 0.9 by default.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment, in [0, 1); 0.999 by default.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment, finite and >= 0; 1e-8 by default.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>
    /// Whether to use the running maximum of the second moment, as torch's <c>amsgrad</c> (Reddi et al. 2018, "On the
    /// convergence of Adam and beyond", algorithm 2). Needs one more state buffer.
    /// </summary>
    public bool Amsgrad { get; init; }

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, nopt_hyperparams hyperparameters) =>
        new AdamFamilyGroup(optimizer, index, hyperparameters);

    internal override void RequireLike(OptimizerOptions first, int group, string paramName)
    {
        base.RequireLike(first, group, paramName);
        RequireSame(nameof(Amsgrad), Amsgrad, ((AdamFamilyOptions)first).Amsgrad, group, paramName);
    }

    internal override nopt_hyperparams ToNative()
    {
        nopt_hyperparams native = base.ToNative();
        native.beta1 = Beta1;
        native.beta2 = Beta2;
        native.eps = Epsilon;
        native.flags |= Flag(Amsgrad, nopt_flag.NOPT_FLAG_AMSGRAD);
        return native;
    }
}

/// <summary>
/// Optimizers over the two moments of the gradient, m and v, with bias correction: Adam, AdamW, InvAdam and DualAdam.
/// </summary>
public abstract class AdamFamilyOptimizer : Optimizer
{
    private protected AdamFamilyOptimizer(ParameterSet parameters, IReadOnlyList<AdamFamilyOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AdamFamilyGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AdamFamilyGroup> Groups { get; }

    /// <summary>Decay of the first moment of group 0, in [0, 1); may change between steps.</summary>
    /// <inheritdoc cref="AdamFamilyGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>Decay of the second moment of group 0, in [0, 1); may change between steps.</summary>
    /// <inheritdoc cref="AdamFamilyGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>Added to the root of the second moment of group 0, finite and >= 0; may change between steps.</summary>
    /// <inheritdoc cref="AdamFamilyGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }
}
