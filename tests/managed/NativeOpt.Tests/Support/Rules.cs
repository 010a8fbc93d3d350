using Xunit;

namespace NativeOpt.Tests.Support;

/// <summary>Every optimizer with every combination of its options, and the reference that it must equal.</summary>
internal sealed record RuleCase(
    string Name, string Family, Func<ParameterSet, Optimizer> Create, Reference Reference);

internal static class Rules
{
    // Chosen so that each option changes the result visibly: see RuleTests.Every_option_matters.
    public const double LearningRate = 0.03;
    public const double Beta1 = 0.8;
    public const double Beta2 = 0.9;
    public const double Epsilon = 0.02;
    public const double WeightDecay = 0.15;
    public const double Momentum = 0.7;
    public const double SwitchingRate = 0.11;

    private static readonly bool[] Either = [false, true];

    private enum Decay
    {
        None,
        L2,
        Decoupled,
    }

    public static IReadOnlyList<RuleCase> All { get; } = [.. Adams(), .. AdamWs(), .. InvAdams(), .. DualAdams(), .. Sgds()];

    /// <summary>The rules that <see cref="Reference"/> has the equations of.</summary>
    public static IReadOnlyList<string> OneOfReference { get; } = ["adam", "invadam", "dualadam", "sgd"];

    /// <summary>One of each optimizer, with all the states that it can have.</summary>
    public static IReadOnlyDictionary<string, Func<ParameterSet, Optimizer>> OneOfEach { get; } = WithOthers(
        new Dictionary<string, Func<ParameterSet, Optimizer>>
        {
            [nameof(Adam)] = static set => new Adam(set, new AdamOptions { Amsgrad = true, WeightDecay = 0.01 }),
            [nameof(AdamW)] = static set => new AdamW(set),
            [nameof(InvAdam)] = static set => new InvAdam(set),
            [nameof(DualAdam)] = static set => new DualAdam(set, new DualAdamOptions { SwitchingRate = 0.09, Amsgrad = true }),
            [nameof(Sgd)] = static set => new Sgd(set, new SgdOptions { Momentum = 0.9, Nesterov = true }),

            // So that few steps are enough for all that these do, on both sides of a step at which something changes.
            [nameof(RAdam)] = static set => new RAdam(set, new RAdamOptions { Beta2 = 0.9, DecoupledWeightDecay = true, WeightDecay = 0.01 }),
            [nameof(NAdam)] = static set => new NAdam(set, new NAdamOptions { MomentumDecay = 0.4, WeightDecay = 0.01 }),
            [nameof(Adagrad)] = static set => new Adagrad(
                set, new AdagradOptions { LearningRateDecay = 0.1, InitialAccumulatorValue = 0.25 }),
            [nameof(Rprop)] = static set => new Rprop(set, new RpropOptions { StepSizeMin = 8e-3, StepSizeMax = 0.02 }),
            [nameof(Asgd)] = static set => new Asgd(set, new AsgdOptions { Lambd = 0.1, T0 = 1 }),
            [nameof(MiAdam)] = static set => new MiAdam(set, new MiAdamOptions { LearningRate = 0.03, Order = 3, SwitchStep = 4 }),
            [nameof(AdEmaMix)] = static set => new AdEmaMix(set, new AdEmaMixOptions { TAlphaBeta3 = 5, WeightDecay = 0.01 }),
        });

    public static TheoryData<string> Names => [.. All.Select(static rule => rule.Name)];

    public static TheoryData<string> OptimizerNames => [.. OneOfEach.Keys];

    /// <summary>The optimizer that options are for.</summary>
    public static Optimizer Create(ParameterSet set, OptimizerOptions options) => options is RuleOptions own
        ? new RuleOptimizer(set, own)
        : TypedRule.Of(options).Create(set, options);

    public static RuleCase Case(string name) => All.Single(rule => rule.Name == name);

    /// <summary>A state of the reference by the library's name.</summary>
    public static double StateOf(Reference.Element element, StateRole role) => role.Name switch
    {
        "exp_avg" => element.M,
        "exp_avg_sq" => element.V,
        "max_exp_avg_sq" => element.VMax,
        "momentum_buffer" => element.Buffer,
        _ => throw new ArgumentOutOfRangeException(nameof(role), role, null),
    };

    /// <summary>Adds the optimizers that are not named, with all of their states.</summary>
    private static Dictionary<string, Func<ParameterSet, Optimizer>> WithOthers(
        Dictionary<string, Func<ParameterSet, Optimizer>> named)
    {
        foreach (TypedRule typed in TypedRule.All)
        {
            named.TryAdd(typed.Name, set => typed.Create(set, typed.WithAllStates()));
        }

        return named;
    }

    private static Reference Base(Decay decay, bool maximize) => new()
    {
        LearningRate = LearningRate,
        WeightDecay = decay == Decay.None ? 0 : WeightDecay,
        Decoupled = decay == Decay.Decoupled,
        Maximize = maximize,
    };

    private static Reference Moments(Decay decay, bool maximize, bool amsgrad) => Base(decay, maximize) with
    {
        Beta1 = Beta1,
        Beta2 = Beta2,
        Epsilon = Epsilon,
        Amsgrad = amsgrad,
    };

    private static IEnumerable<RuleCase> Adams() =>
        from decay in Enum.GetValues<Decay>()
        from maximize in Either
        from amsgrad in Either
        select new RuleCase(
            $"Adam {decay} maximize={maximize} amsgrad={amsgrad}",
            nameof(Adam),
            set => new Adam(set, new AdamOptions
            {
                LearningRate = LearningRate,
                Beta1 = Beta1,
                Beta2 = Beta2,
                Epsilon = Epsilon,
                WeightDecay = decay == Decay.None ? 0 : WeightDecay,
                DecoupledWeightDecay = decay == Decay.Decoupled,
                Maximize = maximize,
                Amsgrad = amsgrad,
            }),
            Moments(decay, maximize, amsgrad) with { Rule = ReferenceRule.Adam });

    private static IEnumerable<RuleCase> AdamWs() =>
        from maximize in Either
        from amsgrad in Either
        select new RuleCase(
            $"AdamW maximize={maximize} amsgrad={amsgrad}",
            nameof(AdamW),
            set => new AdamW(set, new AdamWOptions
            {
                LearningRate = LearningRate,
                Beta1 = Beta1,
                Beta2 = Beta2,
                Epsilon = Epsilon,
                WeightDecay = WeightDecay,
                Maximize = maximize,
                Amsgrad = amsgrad,
            }),
            Moments(Decay.Decoupled, maximize, amsgrad) with { Rule = ReferenceRule.Adam });

    private static IEnumerable<RuleCase> InvAdams() =>
        from decay in Enum.GetValues<Decay>()
        from maximize in Either
        from amsgrad in Either
        from inverseEpsilon in Either
        select new RuleCase(
            $"InvAdam {decay} maximize={maximize} amsgrad={amsgrad} inverseEpsilon={inverseEpsilon}",
            nameof(InvAdam),
            set => new InvAdam(set, new InvAdamOptions
            {
                LearningRate = LearningRate,
                Beta1 = Beta1,
                Beta2 = Beta2,
                Epsilon = Epsilon,
                WeightDecay = decay == Decay.None ? 0 : WeightDecay,
                DecoupledWeightDecay = decay == Decay.Decoupled,
                Maximize = maximize,
                Amsgrad = amsgrad,
                InverseEpsilon = inverseEpsilon,
            }),
            Moments(decay, maximize, amsgrad) with { Rule = ReferenceRule.InvAdam, InverseEpsilon = inverseEpsilon });

    private static IEnumerable<RuleCase> DualAdams() =>
        from decay in Enum.GetValues<Decay>()
        from maximize in Either
        from amsgrad in Either
        from inverseEpsilon in Either
        select new RuleCase(
            $"DualAdam {decay} maximize={maximize} amsgrad={amsgrad} inverseEpsilon={inverseEpsilon}",
            nameof(DualAdam),
            set => new DualAdam(set, new DualAdamOptions
            {
                LearningRate = LearningRate,
                Beta1 = Beta1,
                Beta2 = Beta2,
                Epsilon = Epsilon,
                WeightDecay = decay == Decay.None ? 0 : WeightDecay,
                DecoupledWeightDecay = decay == Decay.Decoupled,
                Maximize = maximize,
                Amsgrad = amsgrad,
                InverseEpsilon = inverseEpsilon,
                SwitchingRate = SwitchingRate,
            }),
            Moments(decay, maximize, amsgrad) with
            {
                Rule = ReferenceRule.DualAdam,
                InverseEpsilon = inverseEpsilon,
                SwitchingRate = SwitchingRate,
            });

    private static IEnumerable<RuleCase> Sgds() =>
        from decay in Enum.GetValues<Decay>()
        from maximize in Either
        from momentum in new[] { 0, Momentum }
        from nesterov in Either
        where momentum > 0 || !nesterov
        select new RuleCase(
            $"Sgd {decay} maximize={maximize} momentum={momentum > 0} nesterov={nesterov}",
            nameof(Sgd),
            set => new Sgd(set, new SgdOptions
            {
                LearningRate = LearningRate,
                Momentum = momentum,
                Nesterov = nesterov,
                WeightDecay = decay == Decay.None ? 0 : WeightDecay,
                DecoupledWeightDecay = decay == Decay.Decoupled,
                Maximize = maximize,
            }),
            Base(decay, maximize) with { Rule = ReferenceRule.Sgd, Momentum = momentum, Nesterov = nesterov });
}
