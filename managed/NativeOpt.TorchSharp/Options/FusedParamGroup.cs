using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>
/// A parameter group of an optimizer that TorchSharp does not have. Groups of Adam, SGD and the others that it has are its own
/// (<c>TorchSharp.Modules.AdamW.ParamGroup</c> and so on).
/// </summary>
/// <example>
/// <code>
/// nativeopt.optim.DualAdam([
///     new FusedParamGroup(body.parameters()),
///     new FusedParamGroup(head.parameters(), new FusedOptions { LearningRate = 1e-4, ["weight_decay"] = 0 }),
/// ]);
/// </code>
/// </example>
public sealed class FusedParamGroup : ParamGroup<FusedOptions>, torch.optim.IBetas, torch.optim.IMomentum
{
    private const string Beta1 = "beta1";
    private const string Beta2 = "beta2";
    private const string MomentumName = "momentum";

    /// <summary>Makes a group.</summary>
    /// <param name="parameters">The parameters.</param>
    /// <param name="options">What differs from the optimizer's defaults; null: nothing.</param>
    /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
    public FusedParamGroup(IEnumerable<Parameter> parameters, FusedOptions? options = null)
        : base(parameters ?? throw new ArgumentNullException(nameof(parameters)), options ?? new FusedOptions())
    {
    }

    /// <summary>
    /// The first two decay rates, for schedulers. A rule that has a momentum in place of beta1 has it as the first.
    /// </summary>
    /// <exception cref="ArgumentException">The rule has neither; give the scheduler <c>cycle_momentum: false</c>.</exception>
    public (double, double) Betas
    {
        get => (Momentum, Options.HasHyperparameter(Beta2) ? Options[Beta2] : 0);
        set
        {
            Momentum = value.Item1;
            if (Options.HasHyperparameter(Beta2))
            {
                Options[Beta2] = value.Item2;
            }
        }
    }

    /// <summary>The momentum, or beta1 of a rule that has that in place of it, for schedulers.</summary>
    /// <exception cref="ArgumentException">The rule has neither; give the scheduler <c>cycle_momentum: false</c>.</exception>
    public double Momentum
    {
        get => Options[MomentumOption];
        set => Options[MomentumOption] = value;
    }

    private string MomentumOption => Options.HasHyperparameter(Beta1) ? Beta1 : MomentumName;
}
