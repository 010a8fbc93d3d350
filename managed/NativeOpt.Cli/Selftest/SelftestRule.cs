using NativeOpt.Cli.Optimizers;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>An update rule with one combination of its options.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Name">The options, "plain" if there are none.</param>
/// <param name="Group">What the results are summed up under.</param>
/// <param name="Hyperparameters">What a step takes.</param>
internal sealed unsafe record SelftestRule(Rule Rule, string Name, string Group, nopt_hyperparams Hyperparameters)
{
    private const uint Decoupled = (uint)nopt_flag.NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    private const uint StochasticRounding =
        (uint)(nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING | nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING_STATES);
    private const uint BiasCorrectionByPower = (uint)nopt_flag.NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
    private const double LearningRate = 0.01;
    private const double WeightDecay = 0.05;

    // One of so many combinations has hyperparameters far from their defaults, and bias corrections by powers: these change
    // the scalars of a step, and nothing of what its elements do.
    private const int FarInterval = 3;

    // How much is added to a default that has no upper bound: a parameter of a few steps is changed by it altogether.
    private const double FarFromDefault = 0.4;

    // Step sizes of at most 50 and a million steps before an average are as good as no bound.
    private const double LargeDefault = 10;

    /// <summary>
    /// Every rule of the library with every combination of the options that it knows: of each rule the plain one first, and
    /// all together last. What rounds at random depends on element types, which is why it is not among them; bias correction
    /// by powers is in every third combination.
    /// </summary>
    public static IReadOnlyList<SelftestRule> All() => [.. Rule.All.SelectMany(Of)];

    private static IEnumerable<SelftestRule> Of(Rule rule)
    {
        StateSelector[] selectors = [.. StateSelector.Of(rule).Where(static own => own.Hyperparameter is not null)];
        uint known = BitsOf(rule) & ~(StochasticRounding | BiasCorrectionByPower);
        int number = 0;
        return
            from weightDecay in (double[])[0, WeightDecay]
            from selected in Combinations(selectors)
            let values = ValuesOf(rule, weightDecay, selected)
            let excluded = Excluded(rule, weightDecay, values)
            from flags in SubsetsOf(known & ~excluded)
            let isFar = number++ % FarInterval == 1
            select Create(rule, flags | (isFar ? BitsOf(rule) & BiasCorrectionByPower : 0), weightDecay, selected, isFar);
    }

    /// <summary>Every choice of one of the values of each.</summary>
    private static IEnumerable<(StateSelector Selector, double Value)[]> Combinations(StateSelector[] selectors) =>
        selectors.Aggregate(
            (IEnumerable<(StateSelector, double)[]>)[[]],
            static (chosen, selector) => chosen.SelectMany(
                one => selector.Values.Select(value => ((StateSelector, double)[])[.. one, (selector, value)])));

    private static uint BitsOf(Rule rule) => rule.Flags.Aggregate(0u, static (mask, flag) => mask | flag.Bit);

    private static IEnumerable<uint> SubsetsOf(uint flags)
    {
        uint subset = 0;
        do
        {
            yield return subset;
            subset = (subset - flags) & flags;
        }
        while (subset != 0);
    }

    // Flags that do nothing, or that need a hyperparameter above 0.
    private static uint Excluded(Rule rule, double weightDecay, nopt_hyperparams values) =>
        rule.Flags.Where(flag =>
                (flag.Bit == Decoupled && weightDecay == 0)
                || (flag.NeededHyperparameter is { } needed && ValueOf(values, rule.GetHyperparameter(needed)) <= 0))
            .Aggregate(0u, static (mask, flag) => mask | flag.Bit);

    private static nopt_hyperparams ValuesOf(
        Rule rule, double weightDecay, (StateSelector Selector, double Value)[] selected, bool isFar = false, uint flags = 0)
    {
        nopt_hyperparams hyperparameters = new() { struct_size = (uint)sizeof(nopt_hyperparams) };
        foreach (Hyperparameter own in rule.Hyperparameters)
        {
            // A flag that needs one hyperparameter may exclude another, as Nesterov's momentum does with dampening.
            bool isExcluded = own.Default == own.Minimum && own.Maximum < float.MaxValue
                && rule.Flags.Any(flag => (flags & flag.Bit) != 0 && flag.NeededHyperparameter is not null);
            hyperparameters.values[own.Index] = isFar && !isExcluded ? Far(own) : own.Default;
        }

        hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR] = LearningRate;
        hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_WEIGHT_DECAY] = weightDecay;
        foreach ((StateSelector selector, double value) in selected)
        {
            hyperparameters.values[selector.Hyperparameter!.Index] = value;
        }

        return hyperparameters;
    }

    // A number of steps changes something on the way, after the first step. Others: half of the default, or of the
    // range, where this is bounded, else more than it, or a small number where the default is so large that a few steps do not notice it.
    private static double Far(Hyperparameter own) =>
        own.IsInteger ? own.Allows(own.Default + 1) ? own.Default + 1 : own.Default - 1
            : own.Maximum < float.MaxValue ? (own.Minimum + (own.Default > own.Minimum ? own.Default : own.Maximum)) / 2
            : (own.Default < LargeDefault ? own.Default : own.Minimum) + FarFromDefault;

    private static double ValueOf(nopt_hyperparams values, Hyperparameter own) => values.values[own.Index];

    private static SelftestRule Create(
        Rule rule, uint flags, double weightDecay, (StateSelector Selector, double Value)[] selected, bool isFar)
    {
        nopt_hyperparams hyperparameters = ValuesOf(rule, weightDecay, selected, isFar, flags);
        hyperparameters.flags = flags;
        string decay = weightDecay == 0 ? "no"
            : !rule.Flags.Any(static flag => flag.Bit == Decoupled) ? "weight"
            : (flags & Decoupled) != 0 ? "decoupled"
            : "l2";
        string[] names =
        [
            .. weightDecay == 0 ? Array.Empty<string>() : [decay],
            .. selected.Where(static one => one.Value > one.Selector.Values[0])
                .Select(static one => NameOf(one.Selector, one.Value)),
            .. rule.Flags.Where(flag => (flags & flag.Bit & ~Decoupled) != 0).Select(static flag => flag.Name),
        ];
        return new SelftestRule(rule, string.Join(' ', names.DefaultIfEmpty("plain")), $"{decay} decay", hyperparameters);
    }

    // The value is named only where there are several to tell apart.
    private static string NameOf(StateSelector selector, double value) =>
        selector.Values.Count <= 2 ? selector.Name : FormattableString.Invariant($"{selector.Name}={value}");
}
