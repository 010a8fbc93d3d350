using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>The steps that are written by hand, to be timed beside NativeOpt's.</summary>
internal enum PeerFormula
{
    /// <summary>SGD without momentum.</summary>
    Sgd,

    /// <summary>SGD with momentum.</summary>
    SgdMomentum,

    /// <summary>Adam.</summary>
    Adam,

    /// <summary>Adam with AMSGrad.</summary>
    AdamAmsgrad,

    /// <summary>Adam with decoupled weight decay.</summary>
    AdamW,

    /// <summary>InvAdam.</summary>
    InvAdam,

    /// <summary>DualAdam.</summary>
    DualAdam,
}

/// <summary>Which presets there are steps by hand for. All others are timed beside the floor alone.</summary>
internal static class PeerFormulas
{
    /// <summary>The step that does the same as a preset; null: nobody wrote one.</summary>
    public static PeerFormula? Of(OptimizerPreset preset)
    {
        string rule = string.Join(' ', [preset.Rule.Name, .. preset.Options.Flags.Order(StringComparer.Ordinal)]);
        bool decays = preset[OptimizerPresets.WeightDecay] > 0;
        return rule switch
        {
            "sgd" when !decays => preset["momentum"] > 0 ? PeerFormula.SgdMomentum : PeerFormula.Sgd,
            "adam" when !decays => PeerFormula.Adam,
            "adam amsgrad" when !decays => PeerFormula.AdamAmsgrad,
            "adam decoupled_weight_decay" => PeerFormula.AdamW,
            "invadam" when !decays => PeerFormula.InvAdam,
            "dualadam" when !decays => PeerFormula.DualAdam,
            _ => null,
        };
    }
}

/// <summary>The hyperparameters of a step by hand. What the rule does not have is 0.</summary>
/// <param name="preset">The preset.</param>
internal sealed class PeerOptions(OptimizerPreset preset)
{
    public double LearningRate { get; } = preset[OptimizerPresets.LearningRate];

    public double WeightDecay { get; } = preset[OptimizerPresets.WeightDecay];

    public double Momentum { get; } = ValueOf(preset, "momentum");

    public double Beta1 { get; } = ValueOf(preset, "beta1");

    public double Beta2 { get; } = ValueOf(preset, "beta2");

    public double Epsilon { get; } = ValueOf(preset, "eps");

    public double SwitchingRate { get; } = ValueOf(preset, OptimizerPresets.SwitchingRate);

    private static double ValueOf(OptimizerPreset preset, string name) => preset.HasHyperparameter(name) ? preset[name] : 0;
}
