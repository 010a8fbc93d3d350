using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="AdamW"/>; defaults are torch's, with a <see cref="OptimizerOptions.WeightDecay"/> of 1e-2.</summary>
public sealed record AdamWOptions : AmsgradOptions
{
    /// <summary>Makes the default options.</summary>
    public AdamWOptions()
    {
        WeightDecay = 1e-2;
    }

    internal override string RuleName => "adam";

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.SetFlag("decoupled_weight_decay", true);
    }
}

/// <summary>
/// AdamW (Loshchilov &amp; Hutter 2019, "Decoupled weight decay regularization", algorithm 2):
/// θ ← (1 − ηλ)θ, then Adam's update.
/// </summary>
/// <remarks>Its states are Adam's, and so are its <see cref="Optimizer.RuleName"/> and its state files.</remarks>
public sealed class AdamW : AmsgradOptimizer
{
    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public AdamW(ParameterSet parameters, AdamWOptions? options = null)
        : this(parameters, [options ?? new AdamWOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public AdamW(ParameterSet parameters, IReadOnlyList<AdamWOptions> options)
        : base(parameters, options)
    {
    }
}
