using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="Adan"/>; the defaults are those of the authors' code.</summary>
/// <remarks>The rule does not know <see cref="OptimizerOptions.Maximize"/>.</remarks>
public sealed record AdanOptions : OptimizerOptions
{
    /// <summary>The decay rate of the gradient's running average, in [0, 1); 0.98 by default.</summary>
    public double Beta1 { get; init; } = 0.98;

    /// <summary>The decay rate of the running average of the gradient's differences, in [0, 1); 0.92 by default.</summary>
    public double Beta2 { get; init; } = 0.92;

    /// <summary>The decay rate of the second moment, in [0, 1); 0.99 by default.</summary>
    public double Beta3 { get; init; } = 0.99;

    /// <summary>What is added to the root of the second moment, 0 or 1.18e-38 to 3.4e38; 1e-8 by default.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>
    /// Whether weight decay shrinks the parameter before the update, as AdamW does, rather than dividing it by 1 + ηλ after the
    /// update.
    /// </summary>
    public bool NoProx { get; init; }

    /// <summary>
    /// Whether the bias of the moments at step t is corrected by β^t with the β of this step, as torch does in its Adam, and not by the
    /// product of the βs of all steps. Both are the same unless a decay rate changes between steps.
    /// </summary>
    public bool BiasCorrectionByPower { get; init; }

    internal override string RuleName => "adan";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AdanGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.Set("beta3", Beta3);
        values.Set("eps", Epsilon);
        values.SetFlag("no_prox", NoProx);
        values.SetFlag("bias_correction_by_power", BiasCorrectionByPower);
    }
}

/// <summary>
/// Adan (Xie et al. 2022, arXiv 2208.06677, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models"), as
/// the authors' code has it: running averages of the gradient, of its differences from step to step, and of the square of the
/// gradient with its difference looked ahead.
/// </summary>
/// <remarks>
/// The states are exp_avg, exp_avg_diff, exp_avg_sq and pre_grad, the gradient of the tensor's step before. They begin at zero
/// and are bias-corrected. There are no restarts.
/// </remarks>
public sealed class Adan : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Adan(ParameterSet parameters, AdanOptions? options = null)
        : this(parameters, [options ?? new AdanOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Adan(ParameterSet parameters, IReadOnlyList<AdanOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AdanGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AdanGroup> Groups { get; }

    /// <summary>The decay rate of the gradient's running average, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdanGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>The decay rate of the running average of the gradient's differences, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdanGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>The decay rate of the second moment, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdanGroup.Beta3" path="/exception"/>
    public double Beta3
    {
        get => Groups[0].Beta3;
        set => Groups[0].Beta3 = value;
    }

    /// <summary>What is added to the root of the second moment, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="AdanGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }
}

/// <summary>A group of <see cref="Adan"/>.</summary>
public sealed class AdanGroup : OptimizerGroup
{
    internal AdanGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>The decay rate of the gradient's running average, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1
    {
        get => this["beta1"];
        set => Set("beta1", value);
    }

    /// <summary>The decay rate of the running average of the gradient's differences, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => this["beta2"];
        set => Set("beta2", value);
    }

    /// <summary>The decay rate of the second moment, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta3
    {
        get => this["beta3"];
        set => Set("beta3", value);
    }

    /// <summary>What is added to the root of the second moment, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }

    /// <summary>
    /// Whether weight decay shrinks the parameter before the update, rather than dividing it by 1 + ηλ after the update. It may
    /// change between steps.
    /// </summary>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool NoProx
    {
        get => HasFlag("no_prox");
        set => SetFlagOf("no_prox", value);
    }
}
