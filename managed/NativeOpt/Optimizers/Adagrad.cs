using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>
/// Options of <see cref="Adagrad"/>; defaults are torch's, with a <see cref="OptimizerOptions.LearningRate"/> of 1e-2.
/// </summary>
public sealed record AdagradOptions : OptimizerOptions
{
    /// <summary>Makes the default options.</summary>
    public AdagradOptions()
    {
        LearningRate = 1e-2;
    }

    /// <summary>d, the decay of the learning rate, 0 to 1e16; 0, the default, has none.</summary>
    public double LearningRateDecay { get; init; }

    /// <summary>What the sum of the squared gradients begins at, 0 or 1.18e-38 to 3.4e38; 0 by default.</summary>
    public double InitialAccumulatorValue { get; init; }

    /// <summary>What is added to the root of the sum, 0 or 1.18e-38 to 3.4e38; 1e-10 by default.</summary>
    public double Epsilon { get; init; } = 1e-10;

    internal override string RuleName => "adagrad";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AdagradGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("lr_decay", LearningRateDecay);
        values.Set("initial_accumulator_value", InitialAccumulatorValue);
        values.Set("eps", Epsilon);
    }
}

/// <summary>
/// Adagrad (Duchi et al. 2011, "Adaptive subgradient methods for online learning and stochastic optimization", with a diagonal
/// matrix), as torch defines it: s ← s + g²; θ ← θ − η/(1 + (t − 1)·d)·g/(√s + ε), with the decay d of the learning rate, and
/// with L2 weight decay added to the gradient.
/// </summary>
/// <remarks>
/// The state is sum, which is s and can only grow. It begins at <see cref="AdagradOptions.InitialAccumulatorValue"/>.
/// </remarks>
public sealed class Adagrad : Optimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Adagrad(ParameterSet parameters, AdagradOptions? options = null)
        : this(parameters, [options ?? new AdagradOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Adagrad(ParameterSet parameters, IReadOnlyList<AdagradOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AdagradGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AdagradGroup> Groups { get; }

    /// <summary>
    /// d, the decay of the learning rate, 0 to 1e16. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdagradGroup.LearningRateDecay" path="/exception"/>
    public double LearningRateDecay
    {
        get => Groups[0].LearningRateDecay;
        set => Groups[0].LearningRateDecay = value;
    }

    /// <summary>
    /// What the sum of the squared gradients begins at, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps;
    /// see <see cref="AdagradGroup.InitialAccumulatorValue"/>.
    /// </summary>
    /// <inheritdoc cref="AdagradGroup.InitialAccumulatorValue" path="/exception"/>
    public double InitialAccumulatorValue
    {
        get => Groups[0].InitialAccumulatorValue;
        set => Groups[0].InitialAccumulatorValue = value;
    }

    /// <summary>
    /// What is added to the root of the sum, 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdagradGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }
}

/// <summary>A group of <see cref="Adagrad"/>.</summary>
public sealed class AdagradGroup : OptimizerGroup
{
    internal AdagradGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>d, the decay of the learning rate, 0 to 1e16. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double LearningRateDecay
    {
        get => this["lr_decay"];
        set => Set("lr_decay", value);
    }

    /// <summary>
    /// What the sum of the squared gradients begins at, 0 or 1.18e-38 to 3.4e38. It may change between steps. A sum that has begun
    /// stays as it is.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double InitialAccumulatorValue
    {
        get => this["initial_accumulator_value"];
        set => Set("initial_accumulator_value", value);
    }

    /// <summary>What is added to the root of the sum, 0 or 1.18e-38 to 3.4e38. It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }
}
