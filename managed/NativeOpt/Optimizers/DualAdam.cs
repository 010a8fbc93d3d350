using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="DualAdam"/>.</summary>
public sealed record DualAdamOptions : AmsgradOptions
{
    /// <summary>
    /// How the weight of the inverse part falls; <see cref="InverseWeightSchedule.Linear"/>, the paper's, by default. Each schedule has
    /// options of its own, and does not look at those of the others.
    /// </summary>
    public InverseWeightSchedule Schedule { get; init; }

    /// <summary>
    /// ξ of the linear schedule, 0 or 1.18e-38 to 3.4e38: the weight of the inverse part at step t is max(0, 1 − ξt). 8e-5, the paper's,
    /// by default: Adam alone from step 12,500 on.
    /// </summary>
    public double SwitchingRate { get; init; } = 8e-5;

    /// <summary>
    /// What the exponential schedule multiplies the weight of the inverse part with after each epoch, in [0, 1]; 0.9 by default.
    /// </summary>
    public double Base { get; init; } = 0.9;

    /// <summary>The steps of an epoch of the exponential schedule, from 1 to 2^53; 1 by default.</summary>
    public long StepsPerEpoch { get; init; } = 1;

    /// <summary>
    /// The last step of the fixed schedule that is the inverse part's alone, from 0 to 2^53; 0, the default, is Adam.
    /// </summary>
    public long SwitchStep { get; init; }

    /// <summary>The weight of the inverse part with the given schedule, in [0, 1]; 1 by default.</summary>
    public double InverseWeight { get; init; } = 1;

    /// <summary>The <see cref="SwitchingRate"/> of a wished transition.</summary>
    /// <param name="steps">The steps in which the inverse part's weight falls from 1 to 0, above 0.</param>
    /// <returns>1 / <paramref name="steps"/>: after that number of steps it is Adam alone.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="steps"/> is not above 0.</exception>
    public static double SwitchingRateFor(long steps)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        return 1.0 / steps;
    }

    /// <summary>
    /// Whether weight decay shrinks the parameter, as AdamW does and the paper's experiments do, rather than being added to
    /// the gradient.
    /// </summary>
    public bool DecoupledWeightDecay { get; init; }

    /// <summary>
    /// Whether the inverse part multiplies by (√v̂ + ε), as the authors' published code does, and not by √v̂.
    /// </summary>
    public bool InverseEpsilon { get; init; }

    internal override string RuleName => "dualadam";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new DualAdamGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("switching_rate", SwitchingRate);
        values.Set("schedule", (int)Schedule, nameof(Schedule));
        values.Set("base", Base);
        values.Set("steps_per_epoch", StepsPerEpoch);
        values.Set("switch_step", SwitchStep);
        values.Set("inverse_weight", InverseWeight);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
        values.SetFlag("inverse_epsilon", InverseEpsilon);
    }
}

/// <summary>
/// DualAdam (arXiv 2603.07122, "Combining Adam and its inverse counterpart…"): starts as
/// <see cref="InvAdam"/> and turns into <see cref="Adam"/>,
/// θ ← θ − η·(a·m̂·√v̂ + (1 − a)·m̂/(√v̂ + ε)) with a = max(0, 1 − ξt), or another <see cref="InverseWeightSchedule"/>.
/// </summary>
public sealed class DualAdam : AmsgradOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public DualAdam(ParameterSet parameters, DualAdamOptions? options = null)
        : this(parameters, [options ?? new DualAdamOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public DualAdam(ParameterSet parameters, IReadOnlyList<DualAdamOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<DualAdamGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<DualAdamGroup> Groups { get; }

    /// <summary>How the weight of the inverse part falls. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="DualAdamGroup.Schedule" path="/exception"/>
    public InverseWeightSchedule Schedule
    {
        get => Groups[0].Schedule;
        set => Groups[0].Schedule = value;
    }

    /// <summary>
    /// ξ of group 0, 0 or 1.18e-38 to 3.4e38: with the linear schedule the weight of the inverse part at step t is max(0, 1 − ξt). May
    /// change between steps.
    /// </summary>
    /// <inheritdoc cref="DualAdamGroup.SwitchingRate" path="/exception"/>
    public double SwitchingRate
    {
        get => Groups[0].SwitchingRate;
        set => Groups[0].SwitchingRate = value;
    }

    /// <summary>
    /// What the exponential schedule multiplies the weight of the inverse part with after each epoch, in [0, 1]. It is that of
    /// group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="DualAdamGroup.Base" path="/exception"/>
    public double Base
    {
        get => Groups[0].Base;
        set => Groups[0].Base = value;
    }

    /// <summary>
    /// The steps of an epoch of the exponential schedule, from 1 to 2^53. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="DualAdamGroup.StepsPerEpoch" path="/exception"/>
    public long StepsPerEpoch
    {
        get => Groups[0].StepsPerEpoch;
        set => Groups[0].StepsPerEpoch = value;
    }

    /// <summary>
    /// The last step of the fixed schedule that is the inverse part's alone, from 0 to 2^53. It is that of group 0, and may change
    /// between steps.
    /// </summary>
    /// <inheritdoc cref="DualAdamGroup.SwitchStep" path="/exception"/>
    public long SwitchStep
    {
        get => Groups[0].SwitchStep;
        set => Groups[0].SwitchStep = value;
    }

    /// <summary>
    /// The weight of the inverse part with the given schedule, in [0, 1]. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="DualAdamGroup.InverseWeight" path="/exception"/>
    public double InverseWeight
    {
        get => Groups[0].InverseWeight;
        set => Groups[0].InverseWeight = value;
    }
}

/// <summary>A group of <see cref="DualAdam"/>.</summary>
public sealed class DualAdamGroup : AmsgradGroup
{
    internal DualAdamGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>How the weight of the inverse part falls. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public InverseWeightSchedule Schedule
    {
        get => (InverseWeightSchedule)(int)this["schedule"];
        set => Set("schedule", (int)value);
    }

    /// <summary>
    /// ξ, 0 or 1.18e-38 to 3.4e38: with the linear schedule the weight of the inverse part at the tensor's step t is max(0, 1 − ξt). It may
    /// change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double SwitchingRate
    {
        get => this["switching_rate"];
        set => Set("switching_rate", value);
    }

    /// <summary>
    /// What the exponential schedule multiplies the weight of the inverse part with after each epoch, in [0, 1]. It may change
    /// between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Base
    {
        get => this["base"];
        set => Set("base", value);
    }

    /// <summary>The steps of an epoch of the exponential schedule, from 1 to 2^53. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long StepsPerEpoch
    {
        get => (long)this["steps_per_epoch"];
        set => Set("steps_per_epoch", value);
    }

    /// <summary>
    /// The last step of the fixed schedule that is the inverse part's alone, from 0 to 2^53. It may change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long SwitchStep
    {
        get => (long)this["switch_step"];
        set => Set("switch_step", value);
    }

    /// <summary>The weight of the inverse part with the given schedule, in [0, 1]. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double InverseWeight
    {
        get => this["inverse_weight"];
        set => Set("inverse_weight", value);
    }

    /// <summary>
    /// Whether the inverse part multiplies by (√v̂ + ε), as the authors' published code does, and not by √v̂. It may change
    /// between steps.
    /// </summary>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool InverseEpsilon
    {
        get => HasFlag("inverse_epsilon");
        set => SetFlagOf("inverse_epsilon", value);
    }
}
