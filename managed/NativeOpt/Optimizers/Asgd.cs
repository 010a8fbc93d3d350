using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Asgd"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 1e-2.
/// </summary>
public sealed record AsgdOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public AsgdOptions()
    {
        LearningRate = 1e-2;
    }

    /// <summary>λ′, which shrinks the parameter and the step's length, 0 to 1e16; 1e-4 by default.</summary>
    public double Lambd { get; init; } = 1e-4;

    /// <summary>α, the power with which the step's length falls, 0 to 1e16; 0.75 by default.</summary>
    public double Alpha { get; init; } = 0.75;

    /// <summary>t₀, the steps before the average begins, 0 to 1e16; 1e6 by default.</summary>
    public double T0 { get; init; } = 1e6;

    internal override string RuleName => "asgd";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AsgdGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("lambd", Lambd);
        values.Set("alpha", Alpha);
        values.Set("t0", T0);
    }
}

/// <summary>
/// Averaged stochastic gradient descent (Polyak &amp; Juditsky 1992, "Acceleration of stochastic approximation by averaging"),
/// as torch defines it: θ ← (1 − λ′h)θ − hg with h = η/(1 + λ′η(t − 1))^α, and a ← a + (θ − a)/max(1, t − 1 − t₀), the
/// averaged parameter; L2 weight decay is added to the gradient.
/// </summary>
/// <remarks>
/// The state is ax, which is a: the parameter itself up to step t₀ + 2, and after it the average of the parameters since that
/// step. The host reads it (<see cref="Optimizer.GetState"/>) where it wants the average; steps go on from the parameter. h
/// follows from the step count and the learning rate of the step, so that there is no state for it; torch keeps it, and a
/// learning rate that changes counts there one step later.
/// </remarks>
public sealed class Asgd : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Asgd(ParameterSet parameters, AsgdOptions? options = null)
        : this(parameters, [options ?? new AsgdOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Asgd(ParameterSet parameters, IReadOnlyList<AsgdOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AsgdGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AsgdGroup> Groups { get; }

    /// <summary>
    /// λ′, which shrinks the parameter and the step's length, 0 to 1e16. It is that of group 0, and may change between
    /// steps.
    /// </summary>
    /// <inheritdoc cref="AsgdGroup.Lambd" path="/exception"/>
    public double Lambd
    {
        get => Groups[0].Lambd;
        set => Groups[0].Lambd = value;
    }

    /// <summary>
    /// α, the power with which the step's length falls, 0 to 1e16. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AsgdGroup.Alpha" path="/exception"/>
    public double Alpha
    {
        get => Groups[0].Alpha;
        set => Groups[0].Alpha = value;
    }

    /// <summary>
    /// t₀, the steps before the average begins, 0 to 1e16. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AsgdGroup.T0" path="/exception"/>
    public double T0
    {
        get => Groups[0].T0;
        set => Groups[0].T0 = value;
    }
}

/// <summary>A group of <see cref="Asgd"/>.</summary>
public sealed class AsgdGroup : OptimizerGroup
{
    internal AsgdGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>λ′, which shrinks the parameter and the step's length, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Lambd
    {
        get => this["lambd"];
        set => Set("lambd", value);
    }

    /// <summary>α, the power with which the step's length falls, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Alpha
    {
        get => this["alpha"];
        set => Set("alpha", value);
    }

    /// <summary>t₀, the steps before the average begins, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double T0
    {
        get => this["t0"];
        set => Set("t0", value);
    }
}
