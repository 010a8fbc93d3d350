using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="InvAdam"/>.</summary>
public sealed record InvAdamOptions : AmsgradOptions
{
    /// <summary>Whether weight decay shrinks the parameter, as AdamW does, rather than being added to the gradient.</summary>
    public bool DecoupledWeightDecay { get; init; }

    /// <summary>Whether to multiply by (√v̂ + ε), as the authors' published code does, and not by √v̂.</summary>
    public bool InverseEpsilon { get; init; }

    internal override string RuleName => "invadam";

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new InvAdamGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.SetFlag("decoupled_weight_decay", DecoupledWeightDecay);
        values.SetFlag("inverse_epsilon", InverseEpsilon);
    }
}

/// <summary>
/// InvAdam (arXiv 2603.07122, "Combining Adam and its inverse counterpart…"): θ ← θ − η·m̂·√v̂. Steps
/// grow with the second moment, which leaves sharp minima; <see cref="DualAdam"/> blends it into Adam.
/// </summary>
public sealed class InvAdam : AmsgradOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public InvAdam(ParameterSet parameters, InvAdamOptions? options = null)
        : this(parameters, [options ?? new InvAdamOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public InvAdam(ParameterSet parameters, IReadOnlyList<InvAdamOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<InvAdamGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<InvAdamGroup> Groups { get; }
}

/// <summary>A group of <see cref="InvAdam"/>.</summary>
public sealed class InvAdamGroup : AmsgradGroup
{
    internal InvAdamGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>
    /// Whether to multiply by (√v̂ + ε), as the authors' published code does, and not by √v̂. It may change between steps.
    /// </summary>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public bool InverseEpsilon
    {
        get => HasFlag("inverse_epsilon");
        set => SetFlagOf("inverse_epsilon", value);
    }
}
