namespace NativeOpt;

/// <summary>What the options of Adam, AdamW, InvAdam and DualAdam have in common; defaults are torch's.</summary>
public abstract record AmsgradOptions : AdamFamilyOptions
{
    private protected AmsgradOptions()
    {
    }

    /// <summary>
    /// Whether to use the running maximum of the second moment, as torch's <c>amsgrad</c> (Reddi et al. 2018, "On the
    /// convergence of Adam and beyond", algorithm 2). Needs one more state buffer.
    /// </summary>
    public bool Amsgrad { get; init; }

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new AmsgradGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.SetFlag("amsgrad", Amsgrad);
    }
}

/// <summary>
/// Optimizers of the Adam family that can use the running maximum of the second moment: Adam, AdamW, InvAdam and DualAdam.
/// </summary>
public abstract class AmsgradOptimizer : AdamFamilyOptimizer
{
    private protected AmsgradOptimizer(ParameterSet parameters, IReadOnlyList<AmsgradOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<AmsgradGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<AmsgradGroup> Groups { get; }
}

/// <summary>A group of <see cref="Adam"/>, <see cref="AdamW"/>, <see cref="InvAdam"/> or <see cref="DualAdam"/>.</summary>
public class AmsgradGroup : AdamFamilyGroup
{
    internal AmsgradGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>
    /// Whether the running maximum of the second moment is used. It may change between steps, in all groups at once
    /// (<see cref="Optimizer.SetFlag"/> where there are several): the maximum begins with the second moments of the steps from
    /// then on, or goes on where it was before.
    /// </summary>
    /// <exception cref="ArgumentException">The optimizer has several groups, or may not have such a state.</exception>
    /// <exception cref="InvalidOperationException">
    /// The state <see cref="StateRole.MaxExpAvgSq"/> is not bound, while other states are the host's; or a
    /// <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool Amsgrad
    {
        get => HasFlag("amsgrad");
        set => SetFlagOf("amsgrad", value);
    }
}
