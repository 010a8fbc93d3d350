using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="MiAdam"/>; defaults are Adam's, which this is as long as <see cref="SwitchStep"/> is 0.
/// </summary>
public sealed record MiAdamOptions : AdamFamilyOptions
{
    /// <summary>κ, the decay rate of the sums, in [0, 1); 0.98 by default, as in the authors' examples.</summary>
    public double Kappa { get; init; } = 0.98;

    /// <summary>n, how many times the first moment is summed up, from 1 to 3; 1 by default.</summary>
    public int Order { get; init; } = 1;

    /// <summary>
    /// T, the last step that uses the sums, from 0 to 2^53; 0, the default, is Adam. The authors' examples switch after 20 of
    /// 150 epochs.
    /// </summary>
    public long SwitchStep { get; init; }

    internal override string RuleName => "miadam";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new MiAdamGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("kappa", Kappa);
        values.Set("order", Order);
        values.Set("switch_step", SwitchStep);
    }
}

/// <summary>
/// MIAdam (Jin et al. 2025, arXiv 2412.12473, "A method for enhancing generalization of Adam by multiple integrations"), as
/// the authors' code has it: up to step T, θ ← θ − η^(n+1)/(1 − β₁^t)·b/(√v̂ + ε), where b is the first moment summed up n
/// times, each time by b ← κb + …; from then on it is Adam, with L2 weight decay added to the gradient.
/// </summary>
/// <remarks>
/// The states are exp_avg, exp_avg_sq, and of the sums as many as the order n: buf_exp_avg, buf_exp_avg2, buf_exp_avg3. The
/// learning rate enters the first part by the power of n + 1, as in the authors' code, so that this part takes a larger one.
/// The code counts epochs where this rule counts the tensor's steps, and has AMSGrad, too.
/// </remarks>
public sealed class MiAdam : AdamFamilyOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public MiAdam(ParameterSet parameters, MiAdamOptions? options = null)
        : this(parameters, [options ?? new MiAdamOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public MiAdam(ParameterSet parameters, IReadOnlyList<MiAdamOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<MiAdamGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<MiAdamGroup> Groups { get; }

    /// <summary>κ, the decay rate of the sums, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="MiAdamGroup.Kappa" path="/exception"/>
    public double Kappa
    {
        get => Groups[0].Kappa;
        set => Groups[0].Kappa = value;
    }

    /// <summary>
    /// n, how many times the first moment is summed up, from 1 to 3. It is that of group 0, and may change between steps; see
    /// <see cref="MiAdamGroup.Order"/>.
    /// </summary>
    /// <inheritdoc cref="MiAdamGroup.Order" path="/exception"/>
    public int Order
    {
        get => Groups[0].Order;
        set => Groups[0].Order = value;
    }

    /// <summary>
    /// T, the last step that uses the sums, from 0 to 2^53. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="MiAdamGroup.SwitchStep" path="/exception"/>
    public long SwitchStep
    {
        get => Groups[0].SwitchStep;
        set => Groups[0].SwitchStep = value;
    }
}

/// <summary>A group of <see cref="MiAdam"/>.</summary>
public sealed class MiAdamGroup : AdamFamilyGroup
{
    internal MiAdamGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>κ, the decay rate of the sums, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Kappa
    {
        get => this["kappa"];
        set => Set("kappa", value);
    }

    /// <summary>
    /// n, how many times the first moment is summed up, from 1 to 3. It may change between steps. A higher order needs more
    /// states, whose sums begin at zero; an optimizer of several groups changes it in all of them
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
    public int Order
    {
        get => (int)this["order"];
        set => Set("order", value);
    }

    /// <summary>T, the last step that uses the sums, from 0 to 2^53. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long SwitchStep
    {
        get => (long)this["switch_step"];
        set => Set("switch_step", value);
    }
}
