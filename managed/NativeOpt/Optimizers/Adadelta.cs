using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Adadelta"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 1.
/// </summary>
public sealed record AdadeltaOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public AdadeltaOptions()
    {
        LearningRate = 1;
    }

    /// <summary>ρ, the decay rate of both running averages, in [0, 1); 0.9 by default.</summary>
    public double Rho { get; init; } = 0.9;

    /// <summary>What is added under both roots, 0 or 1.18e-38 to 3.4e38; 1e-6 by default.</summary>
    public double Epsilon { get; init; } = 1e-6;

    internal override string RuleName => "adadelta";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AdadeltaGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("rho", Rho);
        values.Set("eps", Epsilon);
    }
}

/// <summary>
/// Adadelta (Zeiler 2012, arXiv 1212.5701, "ADADELTA: an adaptive learning rate method", algorithm 1), as torch defines it:
/// v ← ρv + (1 − ρ)g²; Δ = √(a + ε)/√(v + ε)·g; a ← ρa + (1 − ρ)Δ²; θ ← θ − ηΔ, with L2 weight decay added to the gradient.
/// </summary>
/// <remarks>
/// The states are square_avg, which is v, and acc_delta, which is a. Nothing is bias-corrected. The learning rate is torch's;
/// the paper has none, which is 1.
/// </remarks>
public sealed class Adadelta : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Adadelta(ParameterSet parameters, AdadeltaOptions? options = null)
        : this(parameters, [options ?? new AdadeltaOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Adadelta(ParameterSet parameters, IReadOnlyList<AdadeltaOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AdadeltaGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AdadeltaGroup> Groups { get; }

    /// <summary>
    /// ρ, the decay rate of both running averages, in [0, 1). It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdadeltaGroup.Rho" path="/exception"/>
    public double Rho
    {
        get => Groups[0].Rho;
        set => Groups[0].Rho = value;
    }

    /// <summary>
    /// What is added under both roots, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdadeltaGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }
}

/// <summary>A group of <see cref="Adadelta"/>.</summary>
public sealed class AdadeltaGroup : OptimizerGroup
{
    internal AdadeltaGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>ρ, the decay rate of both running averages, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Rho
    {
        get => this["rho"];
        set => Set("rho", value);
    }

    /// <summary>What is added under both roots, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }
}
