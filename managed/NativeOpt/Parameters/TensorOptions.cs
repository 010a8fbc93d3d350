namespace NativeOpt;

/// <summary>What distinguishes one tensor of a <see cref="ParameterSet"/> from the others.</summary>
public sealed record TensorOptions
{
    /// <summary>The tensor's name in state files, unique in its set and not empty; null: its index.</summary>
    public string? Name { get; init; }

    /// <summary>
    /// Multiplies the optimizer's learning rate for this tensor; finite as a float and >= 0, 1 by default. Their product, the
    /// tensor's learning rate, is at most 1e22, or the step is refused with an <see cref="ArgumentException"/>.
    /// </summary>
    public double LearningRateScale { get; init; } = 1;

    /// <summary>The tensor's weight decay, 0 to 1e16; null, the default, takes the optimizer's.</summary>
    public double? WeightDecay { get; init; }

    /// <summary>
    /// The group of hyperparameters that the tensor belongs to, 0 (the default) or more: those of the optimizer's options at
    /// this index. Tensors that differ in learning rate and weight decay alone need no groups.
    /// </summary>
    public int Group { get; init; }

    /// <summary>
    /// The element type of this tensor's gradients, e.g. float32 for a bfloat16 parameter; null, the default, is the
    /// parameter's.
    /// </summary>
    public DType? GradientType { get; init; }

    /// <summary>
    /// The element type of this tensor's states, all of them; null, the default, takes what the optimizer's options say
    /// (<see cref="OptimizerOptions.StateType"/>, <see cref="OptimizerOptions.StateTypes"/>). Each state must be able to have
    /// it (<see cref="RuleState.DTypes"/>).
    /// </summary>
    public DType? StateType { get; init; }
}
