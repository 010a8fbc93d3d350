using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Sophia"/>; the defaults are the paper's for Sophia-H, with a <see cref="OptimizerOptions.LearningRate"/>
/// of 1e-4 and a <see cref="OptimizerOptions.WeightDecay"/> of 0.1, which is decoupled.
/// </summary>
public sealed record SophiaOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public SophiaOptions()
    {
        LearningRate = 1e-4;
        WeightDecay = 0.1;
    }

    /// <summary>The decay rate of the gradient's running average, in [0, 1); 0.965 by default.</summary>
    public double Beta1 { get; init; } = 0.965;

    /// <summary>The decay rate of the running average of the Hessian's diagonal, in [0, 1); 0.99 by default.</summary>
    public double Beta2 { get; init; } = 0.99;

    /// <summary>What scales the Hessian's diagonal, 0 or 1.18e-38 to 3.4e38; 0.01 by default, for Sophia-H. Sophia-G has 0.05.</summary>
    public double Gamma { get; init; } = 0.01;

    /// <summary>The smallest denominator, 0 or 1.18e-38 to 3.4e38; 1e-12 by default.</summary>
    public double Epsilon { get; init; } = 1e-12;

    internal override string RuleName => "sophia";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new SophiaGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.Set("gamma", Gamma);
        values.Set("eps", Epsilon);
        values.SetFlag("decoupled_weight_decay", true);
    }
}

/// <summary>
/// Sophia (Liu et al. 2023, arXiv 2305.14342, "Sophia: a scalable stochastic second-order optimizer for language model
/// pre-training", algorithm 3): θ ← (1 − ηλ)θ − η·clip(m/max(γh, ε), −1, 1), with running averages m of the gradient and h of
/// an estimate of the Hessian's diagonal.
/// </summary>
/// <remarks>
/// The host computes the estimate every few steps, 10 in the paper, and gives it to that step:
/// <code>
/// if (step % 10 == 0)
/// {
///     optimizer.SetHessian(estimates);
/// }
///
/// optimizer.Step();
/// optimizer.ClearHessian();
/// </code>
/// Until the first estimate h is 0, and each step has the length η in every element.
/// </remarks>
public sealed class Sophia : Optimizer
{
    private const string HessianName = "hessian";

    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Sophia(ParameterSet parameters, SophiaOptions? options = null)
        : this(parameters, [options ?? new SophiaOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Sophia(ParameterSet parameters, IReadOnlyList<SophiaOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<SophiaGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<SophiaGroup> Groups { get; }

    /// <summary>The decay rate of the gradient's running average, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="SophiaGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>The decay rate of the running average of the Hessian's diagonal, in [0, 1). It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="SophiaGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>What scales the Hessian's diagonal, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="SophiaGroup.Gamma" path="/exception"/>
    public double Gamma
    {
        get => Groups[0].Gamma;
        set => Groups[0].Gamma = value;
    }

    /// <summary>The smallest denominator, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.</summary>
    /// <inheritdoc cref="SophiaGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }

    /// <summary>
    /// Gives later steps an estimate of the Hessian's diagonal, of the loss without a loss scale. It stays bound, and every
    /// step averages it in, until <see cref="ClearHessian"/>.
    /// </summary>
    /// <param name="estimates">
    /// The estimate of each parameter, in the same order: as many elements as the parameter has, of float32, bfloat16 or
    /// float16. It may be negative. A tensor whose buffer is at address 0 keeps its h.
    /// </param>
    /// <inheritdoc cref="Optimizer.SetInput(string, ReadOnlySpan{TensorRef})" path="/exception"/>
    public void SetHessian(ReadOnlySpan<TensorRef> estimates) => SetInput(HessianName, estimates);

    /// <summary>Gives later steps an estimate of the Hessian's diagonal, by address; see the overload with tensors.</summary>
    /// <param name="estimates">
    /// The address of each parameter's estimate on the set's device, of float32, or of the types that the last call of the
    /// overload with tensors had. A tensor whose address is 0 keeps its h.
    /// </param>
    /// <inheritdoc cref="Optimizer.SetInput(string, ReadOnlySpan{nint})" path="/exception"/>
    public void SetHessian(ReadOnlySpan<nint> estimates) => SetInput(HessianName, estimates);

    /// <summary>Lets later steps do without an estimate: they keep h as it is.</summary>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void ClearHessian() => ClearInput(HessianName);
}

/// <summary>A group of <see cref="Sophia"/>.</summary>
public sealed class SophiaGroup : OptimizerGroup
{
    internal SophiaGroup(Optimizer optimizer, int index, HyperparameterValues values)
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

    /// <summary>The decay rate of the running average of the Hessian's diagonal, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => this["beta2"];
        set => Set("beta2", value);
    }

    /// <summary>What scales the Hessian's diagonal, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Gamma
    {
        get => this["gamma"];
        set => Set("gamma", value);
    }

    /// <summary>The smallest denominator, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }
}
