using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification;

/// <summary>An optimizer that <c>nativeopt classify</c> compares with others.</summary>
/// <param name="Name">What the tables call it.</param>
/// <param name="Preset">The rule and its options, but for those that go with the length of a run.</param>
/// <param name="ScaleToRun">Sets those: takes the options and the steps of a run.</param>
internal sealed record ClassifierOptimizer(
    string Name, OptimizerPreset Preset, Func<OptimizerPreset, long, OptimizerPreset> ScaleToRun)
{
    /// <summary>The name of <c>--compare</c>'s default: the optimizers of Table I of DualAdam's paper.</summary>
    public static IReadOnlyList<string> TableOne { get; } =
        ["adam", "adamw", "radam", "nadam", "adan", "swats", "miadam", "dualadam"];

    /// <summary>The switching rate of DualAdam's paper.</summary>
    public const double PapersSwitchingRate = 8e-5;

    private const string Schedule = "schedule", StepsPerEpoch = "steps_per_epoch", SwitchStep = "switch_step";

    // MIAdam's authors switch after 20 of 150 epochs.
    private const double MiAdamSwitch = 20.0 / 150;

    // All three schedules give the inverse part the same total weight, an eighth of the steps: the linear one falls to 0 over a quarter
    // of them, and the exponential one is multiplied by its default base of 0.9, whose powers add up to 10, each eightieth of them.
    private const int FixedPart = 8, ExponentialPart = 80;

    /// <summary>Every preset of the library with what suits classification.</summary>
    public static IReadOnlyList<ClassifierOptimizer> All => [.. OptimizerPresets.All.Select(Of)];

    /// <summary>Whether its steps need <see cref="Swats.SwitchAfterStep"/>.</summary>
    public bool Switches => !OptimizerPresets.IsOneCall(Preset);

    /// <summary>DualAdam with switching rates from 0 on, as parts of a run and as the paper has it: the form of its Table IV.</summary>
    public static IReadOnlyList<ClassifierOptimizer> SwitchingRates =>
    [
        .. ((double[])[0, 1, 2, 4, 8, 16, 32]).Select(static perRun => WithSwitchingRate(
            perRun == 0 ? "ξ = 0" : FormattableString.Invariant($"ξ = {perRun} / steps"), steps => perRun / steps)),
        WithSwitchingRate(FormattableString.Invariant($"ξ = {PapersSwitchingRate:0.#e0}"), static _ => PapersSwitchingRate),
    ];

    /// <summary>DualAdam with each of its schedules: the form of the paper's Table V.</summary>
    public static IReadOnlyList<ClassifierOptimizer> Schedules =>
    [
        WithSwitchingRate("linear", static steps => OptimizerRecipe.SwitchingPerRun / steps),
        DualAdam with
        {
            Name = "exponential",
            ScaleToRun = static (preset, steps) => preset.With(Schedule, (double)InverseWeightSchedule.Exponential)
                .With(StepsPerEpoch, Math.Max(1, steps / ExponentialPart)),
        },
        DualAdam with
        {
            Name = "fixed",
            ScaleToRun = static (preset, steps) => preset.With(Schedule, (double)InverseWeightSchedule.Fixed)
                .With(SwitchStep, steps / FixedPart),
        },
    ];

    /// <summary>Makes the optimizer of a run.</summary>
    /// <param name="set">The parameters.</param>
    /// <param name="steps">The steps of the run.</param>
    /// <param name="weightDecay">The weight decay; null: its own.</param>
    public Optimizer Create(ParameterSet set, long steps, double? weightDecay)
    {
        OptimizerPreset preset = ScaleToRun(Preset, steps);
        return new RuleOptimizer(set, (weightDecay is double own ? preset.With(OptimizerPresets.WeightDecay, own) : preset).Options);
    }

    private static ClassifierOptimizer DualAdam =>
        All.First(static own => own.Preset.HasHyperparameter(OptimizerPresets.SwitchingRate));

    private static ClassifierOptimizer WithSwitchingRate(string name, Func<long, double> rate) => DualAdam with
    {
        Name = name,
        ScaleToRun = (preset, steps) => preset.With(OptimizerPresets.SwitchingRate, rate(steps)),
    };

    private static ClassifierOptimizer Of(OptimizerPreset preset)
    {
        OptimizerPreset own = OptimizerPresets.ForTraining(preset);
        if (own.HasHyperparameter(OptimizerPresets.SwitchingRate))
        {
            // As in the code that DualAdam's authors published; without weight decay it makes no difference.
            return new ClassifierOptimizer(
                own.Name,
                own.WithFlag(OptimizerPresets.DecoupledWeightDecay, true),
                static (linear, steps) => linear.With(OptimizerPresets.SwitchingRate, OptimizerRecipe.SwitchingPerRun / steps));
        }

        return new ClassifierOptimizer(
            own.Name,
            own,
            own.HasHyperparameter(SwitchStep)
                ? static (switching, steps) => switching.With(SwitchStep, Math.Round(MiAdamSwitch * steps))
                : static (same, _) => same);
    }
}
