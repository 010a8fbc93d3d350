namespace NativeOpt;

/// <summary>
/// What the options of the rules over two moments of the gradient have in common: Adam and its relatives; defaults are torch's.
/// </summary>
public abstract record AdamFamilyOptions : OptimizerOptions
{
    private protected AdamFamilyOptions()
    {
    }

    /// <summary>Decay of the first moment, in [0, 1); 0.9 by default.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment, or with <see cref="Adamax"/> of the infinity norm, in [0, 1); 0.999 by default.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>
    /// Added to the root of the second moment, or with <see cref="Adamax"/> to the gradient's absolute value, 0 or 1.18e-38 to 3.4e38;
    /// 1e-8 by default.
    /// </summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>
    /// Whether the bias of the moments at step t is corrected by β^t with the β of this step, as torch does, and not by the
    /// product of the βs of all steps. Both are the same unless a decay rate changes between steps.
    /// </summary>
    public bool BiasCorrectionByPower { get; init; }

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AdamFamilyGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.Set("eps", Epsilon);
        values.SetFlag("bias_correction_by_power", BiasCorrectionByPower);
    }
}

/// <summary>Optimizers over two moments of the gradient, with bias correction: Adam and its relatives.</summary>
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

    /// <summary>
    /// Decay of the second moment, or with <see cref="Adamax"/> of the infinity norm, of group 0, in [0, 1); may change between
    /// steps.
    /// </summary>
    /// <inheritdoc cref="AdamFamilyGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>
    /// Added to the root of the second moment of group 0, or with <see cref="Adamax"/> to the gradient's absolute value, 0
    /// or 1.18e-38 to 3.4e38; may change between steps.
    /// </summary>
    /// <inheritdoc cref="AdamFamilyGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }
}

/// <summary>A group of an <see cref="AdamFamilyOptimizer"/>.</summary>
public class AdamFamilyGroup : OptimizerGroup
{
    internal AdamFamilyGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>The decay rate of the first moment, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1
    {
        get => this["beta1"];
        set => Set("beta1", value);
    }

    /// <summary>
    /// The decay rate of the second moment, or with <see cref="Adamax"/> of the infinity norm, in [0, 1). It may change between
    /// steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => this["beta2"];
        set => Set("beta2", value);
    }

    /// <summary>
    /// What is added to the root of the second moment, or with <see cref="Adamax"/> to the gradient's absolute value, 0
    /// or 1.18e-38 to 3.4e38. It may change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }
}
