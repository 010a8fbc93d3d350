namespace NativeOpt.Cli.Optimizers;

/// <summary>
/// The optimizers of the command line: every rule of the library, and what is known of some of them beyond what the library
/// says. A rule that is not named here has its own defaults.
/// </summary>
internal static class OptimizerPresets
{
    /// <summary>
    /// The hyperparameters and the flags that this program knows by their names; those of what is rounded at random begin with
    /// <see cref="StochasticRounding"/>.
    /// </summary>
    public const string LearningRate = "lr", WeightDecay = "weight_decay", SwitchingRate = "switching_rate";
    public const string DecoupledWeightDecay = "decoupled_weight_decay", StochasticRounding = "stochastic_rounding";

    /// <summary>The optimizer where one is wanted and none is named, but for training.</summary>
    public const string Usual = "adam";

    /// <summary>The optimizer of training where none is named.</summary>
    public const string UsualOfTraining = "adamw";

    // The defaults of rules and presets in training and at saddle points. The rates of training are what a few runs of 300
    // steps of 16 x 64 characters found (Gpt.Default, prose): Adam and AdamW are best near 2e-3. DualAdam takes twice as
    // much, since its inverse part hardly moves anything where gradients are small, which makes it Adam with a long warm-up.
    // InvAdam multiplies by sqrt(v) and so moves by the square of the gradient: it needs a rate that is larger by far, and
    // above 1 it blows up sooner or later.
    private static readonly Dictionary<string, double> RatesOfTraining = new()
    {
        ["adam"] = 2e-3,
        ["adamw"] = 2e-3,
        ["invadam"] = 1,
        ["dualadam"] = 4e-3,
        ["sgd"] = 0.03,
    };

    private static readonly Dictionary<string, (string Hyperparameter, double Value)> ValuesOfTraining = new()
    {
        ["sgd"] = ("momentum", 0.9),
    };

    private static readonly Dictionary<string, double[]> RatesAtSaddles = new()
    {
        ["sgd"] = [0.01, 0.03, 0.1, 0.3, 1, 3],
        ["sgd-momentum"] = [0.003, 0.01, 0.03, 0.1, 0.3, 1],
        ["invadam"] = [3, 10, 30, 100, 300, 1000],
        ["dualadam"] = [0.1, 0.3, 1, 3, 10, 30, 100],
    };

    private static readonly decimal[] FactorsAtSaddles = [1, 3, 10, 30, 100, 300, 1000];

    private static readonly Lazy<IReadOnlyList<OptimizerPreset>> LazyAll = new(static () =>
        [.. Rule.All.SelectMany(static rule => (OptimizerPreset[])[new(rule.Name, new RuleOptions(rule.Name)), .. AliasesOf(rule)])]);

    private static readonly Lazy<IReadOnlyList<OptimizerPreset>> LazyWithStates = new(static () =>
        [.. All.SelectMany(static preset => (OptimizerPreset[])[preset, .. VariantsOf(preset, static _ => true)])]);

    /// <summary>
    /// Those whose step is one call: all but swats, which without <see cref="Swats.Switch"/> after each step would be Adam for ever.
    /// </summary>
    public static IEnumerable<OptimizerPreset> OfOneCall => All.Where(IsOneCall);

    /// <summary>Whether it is one of <see cref="OfOneCall"/>.</summary>
    public static bool IsOneCall(OptimizerPreset preset) => preset.Rule.Name != "swats";

    /// <summary>The names of the presets of which more is known here than the library says.</summary>
    public static IEnumerable<string> Tuned =>
        [.. RatesOfTraining.Keys.Concat(ValuesOfTraining.Keys).Concat(RatesAtSaddles.Keys).Distinct(), Usual, UsualOfTraining];

    /// <summary>Every rule with its defaults, and after it the presets of it that have a name of their own.</summary>
    public static IReadOnlyList<OptimizerPreset> All => LazyAll.Value;

    /// <summary>
    /// All of <see cref="All"/>, each followed by itself with one more option that gives it other states, for example
    /// "adam-amsgrad" and "sgd-momentum".
    /// </summary>
    public static IReadOnlyList<OptimizerPreset> WithStates => LazyWithStates.Value;

    /// <summary>Those of <see cref="WithStates"/> whose option is a hyperparameter, and all of <see cref="All"/>.</summary>
    public static IReadOnlyList<OptimizerPreset> WithHyperparameters =>
        [.. All.SelectMany(static preset =>
            (OptimizerPreset[])[preset, .. VariantsOf(preset, static own => own.Hyperparameter is not null)])];

    /// <summary>The names of <see cref="All"/>.</summary>
    public static IReadOnlyList<string> Names => [.. All.Select(static preset => preset.Name)];

    /// <summary>Finds one of <see cref="All"/>; null if there is none of this name.</summary>
    public static OptimizerPreset? Find(string name) => All.FirstOrDefault(preset => preset.Name == name);

    /// <summary>The same for training: with a learning rate that suits it.</summary>
    public static OptimizerPreset ForTraining(OptimizerPreset preset)
    {
        OptimizerPreset tuned = ValuesOfTraining.TryGetValue(preset.Name, out (string Hyperparameter, double Value) other)
            ? preset.With(other.Hyperparameter, other.Value) : preset;
        return RatesOfTraining.TryGetValue(preset.Name, out double rate) ? tuned.With(LearningRate, rate) : tuned;
    }

    /// <summary>The learning rates to try at a saddle point: those that suit it, or up to 1000 times the default.</summary>
    public static IReadOnlyList<double> SaddleRates(OptimizerPreset preset) =>
        RatesAtSaddles.TryGetValue(preset.Name, out double[]? rates)
            ? rates
            : [.. FactorsAtSaddles.Select(factor => (double)((decimal)preset[LearningRate] * factor))];

    // An alias is a rule with options that have made a name for themselves.
    private static IEnumerable<OptimizerPreset> AliasesOf(Rule rule)
    {
        if (rule.Name == "adam")
        {
            var defaults = new AdamWOptions();
            yield return new OptimizerPreset("adamw", new RuleOptions(rule.Name) { WeightDecay = defaults.WeightDecay })
            {
                FixedFlags = [DecoupledWeightDecay],
            }.WithFlag(DecoupledWeightDecay, true);
        }
    }

    private static IEnumerable<OptimizerPreset> VariantsOf(OptimizerPreset preset, Func<StateSelector, bool> isWanted) =>
        StateSelector.Of(preset.Rule).Where(own => isWanted(own) && !own.IsOn(preset))
            .Select(own => own.TurnOn(preset) with { Name = $"{preset.Name}-{own.Name.Replace('_', '-')}" });
}
