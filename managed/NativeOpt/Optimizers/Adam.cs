using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="Adam"/>; defaults are torch's.</summary>
public sealed record AdamOptions : AmsgradOptions
{
    /// <summary>
    /// Whether weight decay shrinks the parameter (as <see cref="AdamW"/>) rather than being added to the gradient.
    /// </summary>
    public bool DecoupledWeightDecay { get; init; }

    internal override string RuleName => "adam";

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
    }
}

/// <summary>
/// Adam (Kingma &amp; Ba 2015, "Adam: a method for stochastic optimization", algorithm 1):
/// θ ← θ − η·m̂/(√v̂ + ε), with L2 weight decay added to the gradient.
/// </summary>
public sealed class Adam : AmsgradOptimizer
{
    /// <summary>Makes the optimizer of a set with one group of hyperparameters.</summary>
    /// <param name="parameters">The set; it may have no other optimizer.</param>
    /// <param name="options">The options; null: the defaults.</param>
    /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="ArgumentException">
    /// An option does not fit the tensors' types or another option, or a tensor is in a group other than 0.
    /// </exception>
    /// <exception cref="InvalidOperationException">The set has an optimizer already.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Adam(ParameterSet parameters, AdamOptions? options = null)
        : this(parameters, [options ?? new AdamOptions()])
    {
    }

    /// <summary>Makes the optimizer of a set with a group of hyperparameters for each of the options.</summary>
    /// <param name="parameters">The set; it may have no other optimizer.</param>
    /// <param name="options">
    /// The options of each group, 1 to 16: those of the tensors whose <see cref="TensorOptions.Group"/> is their index. What is
    /// kept (element types, master weights, AMSGrad, whether SGD has momentum) and how it is rounded is the same in all.
    /// </param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="ArgumentException">
    /// There are no options, or more than 16, one is null, does not fit the tensors' types or another option, differs from
    /// group 0 where it must not, or a tensor's group has none.
    /// </exception>
    /// <exception cref="InvalidOperationException">The set has an optimizer already.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public Adam(ParameterSet parameters, IReadOnlyList<AdamOptions> options)
        : base(parameters, options)
    {
    }
}
