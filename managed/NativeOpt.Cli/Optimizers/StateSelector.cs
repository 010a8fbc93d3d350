namespace NativeOpt.Cli.Optimizers;

/// <summary>An option of a rule that decides which states there are: a flag, or a hyperparameter above a bound.</summary>
/// <param name="Name">The rule's name of it.</param>
/// <param name="Meaning">What the rule says of it.</param>
/// <param name="Hyperparameter">The hyperparameter; null for a flag.</param>
/// <param name="Values">
/// Of a hyperparameter: values that lead to different states, the smallest first. Empty for a flag.
/// </param>
/// <param name="Bound">The bound above which there are all states that depend on a hyperparameter; 0 for a flag.</param>
internal sealed record StateSelector(
    string Name, string Meaning, Hyperparameter? Hyperparameter, IReadOnlyList<double> Values, double Bound)
{
    // How far above a bound the value lies that stands for all values above it, where the range has room.
    private const double AboveBound = 0.9;

    /// <summary>The options of a rule that select states: hyperparameters first, each in the rule's order.</summary>
    public static IReadOnlyList<StateSelector> Of(Rule rule) =>
    [
        .. rule.Hyperparameters.Where(static own => own.SelectsStates).Select(own => Of(rule, own)),
        .. rule.Flags.Where(static own => own.SelectsStates)
            .Select(static own => new StateSelector(own.Name, own.Meaning, null, [], 0)),
    ];

    /// <summary>Whether options have it on: the flag is set, or the hyperparameter is above all bounds.</summary>
    public bool IsOn(OptimizerPreset preset) =>
        Hyperparameter is null ? preset.HasFlag(Name) : preset[Name] > Bound;

    /// <summary>The options with it on.</summary>
    public OptimizerPreset TurnOn(OptimizerPreset preset) =>
        Hyperparameter is null ? preset.WithFlag(Name, true) : preset.With(Name, Values[^1]);

    private static StateSelector Of(Rule rule, Hyperparameter own)
    {
        double[] bounds =
        [
            .. rule.States.Where(state => state.NeededHyperparameter == own.Name).Select(static state => state.NeededAbove)
                .Distinct().Order(),
        ];
        double[] values = [.. bounds.Select(bound => Above(own, bound))];
        return new StateSelector(
            own.Name, own.Meaning, own, own.Allows(bounds[0]) ? [bounds[0], .. values] : values, bounds[^1]);
    }

    private static double Above(Hyperparameter own, double bound) =>
        own.IsInteger ? Math.Floor(bound) + 1 : bound + (AboveBound * Math.Min(1, own.Maximum - bound));
}
