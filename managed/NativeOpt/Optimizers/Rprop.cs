using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Rprop"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 1e-2, which is
/// the length of each element's first step.
/// </summary>
public sealed record RpropOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public RpropOptions()
    {
        LearningRate = 1e-2;
    }

    /// <summary>η⁻, what a step size is multiplied by when the sign changes, in [0, 1); 0.5 by default.</summary>
    public double EtaMinus { get; init; } = 0.5;

    /// <summary>η⁺, what a step size is multiplied by while the sign stays, finite and >= 1; 1.2 by default.</summary>
    public double EtaPlus { get; init; } = 1.2;

    /// <summary>The smallest step size, 0 or 1.18e-38 to 3.4e38; 1e-6 by default.</summary>
    public double StepSizeMin { get; init; } = 1e-6;

    /// <summary>The largest step size, 0 or 1.18e-38 to 3.4e38; 50 by default.</summary>
    public double StepSizeMax { get; init; } = 50;

    internal override string RuleName => "rprop";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new RpropGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("etaminus", EtaMinus);
        values.Set("etaplus", EtaPlus);
        values.Set("step_size_min", StepSizeMin);
        values.Set("step_size_max", StepSizeMax);
    }
}

/// <summary>
/// Rprop (Riedmiller &amp; Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm"),
/// as torch defines it, without backtracking (iRprop−, Igel &amp; Hüsken 2000): θ ← θ − sign(g)·s, where the step size s of an
/// element grows by η⁺ while its gradient keeps its sign and shrinks by η⁻ when the sign changes; in that step the element
/// stays. s is kept between the smallest and the largest step size.
/// </summary>
/// <remarks>
/// The states are prev, the gradient of the tensor's step before, which is 0 where the sign had changed; and step_size, which
/// begins at the learning rate. A change of the learning rate does nothing after the first step. The rule is meant for
/// gradients of the whole data, without noise. torch has no weight decay here; an L2 weight decay is added to the gradient,
/// and is 0 by default.
/// </remarks>
public sealed class Rprop : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Rprop(ParameterSet parameters, RpropOptions? options = null)
        : this(parameters, [options ?? new RpropOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Rprop(ParameterSet parameters, IReadOnlyList<RpropOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<RpropGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<RpropGroup> Groups { get; }

    /// <summary>
    /// η⁻, what a step size is multiplied by when the sign changes, in [0, 1). It is that of group 0, and may change between
    /// steps.
    /// </summary>
    /// <inheritdoc cref="RpropGroup.EtaMinus" path="/exception"/>
    public double EtaMinus
    {
        get => Groups[0].EtaMinus;
        set => Groups[0].EtaMinus = value;
    }

    /// <summary>
    /// η⁺, what a step size is multiplied by while the sign stays, finite and >= 1. It is that of group 0, and may change
    /// between steps.
    /// </summary>
    /// <inheritdoc cref="RpropGroup.EtaPlus" path="/exception"/>
    public double EtaPlus
    {
        get => Groups[0].EtaPlus;
        set => Groups[0].EtaPlus = value;
    }

    /// <summary>The smallest step size, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="RpropGroup.StepSizeMin" path="/exception"/>
    public double StepSizeMin
    {
        get => Groups[0].StepSizeMin;
        set => Groups[0].StepSizeMin = value;
    }

    /// <summary>The largest step size, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="RpropGroup.StepSizeMax" path="/exception"/>
    public double StepSizeMax
    {
        get => Groups[0].StepSizeMax;
        set => Groups[0].StepSizeMax = value;
    }
}

/// <summary>A group of <see cref="Rprop"/>.</summary>
public sealed class RpropGroup : OptimizerGroup
{
    internal RpropGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>η⁻, what a step size is multiplied by when the sign changes, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double EtaMinus
    {
        get => this["etaminus"];
        set => Set("etaminus", value);
    }

    /// <summary>
    /// η⁺, what a step size is multiplied by while the sign stays, finite and >= 1. It may change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double EtaPlus
    {
        get => this["etaplus"];
        set => Set("etaplus", value);
    }

    /// <summary>The smallest step size, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double StepSizeMin
    {
        get => this["step_size_min"];
        set => Set("step_size_min", value);
    }

    /// <summary>The largest step size, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double StepSizeMax
    {
        get => this["step_size_max"];
        set => Set("step_size_max", value);
    }
}
