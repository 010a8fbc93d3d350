namespace NativeOpt.Tests.Support;

/// <summary>Types of parameters, gradients and states, and the options that go with them.</summary>
internal sealed record Precision(
    DType Parameter,
    DType Gradient,
    DType State = DType.Float32,
    MasterWeights MasterWeights = MasterWeights.None,
    bool Stochastic = false)
{
    /// <summary>Smaller tensors have no states of 8 bits.</summary>
    public const int MinDynamic8ElementCount = 17;

    private const ulong Seed = 0x0123456789ABCDEF;

    private static readonly DType[] Numbers = [DType.Float32, DType.BFloat16, DType.Float16];

    /// <summary>Every mix that is possible, by name, with states that are rounded one by one.</summary>
    public static IReadOnlyDictionary<string, Precision> All { get; } = Mixes(DType.Float32, DType.BFloat16);

    /// <summary>These, and those with states of 8 bits.</summary>
    public static IReadOnlyDictionary<string, Precision> WithDynamic8 { get; } =
        Mixes(DType.Float32, DType.BFloat16, DType.Dynamic8);

    public MixedTensor[] Tensors(params int[] sizes) =>
        [.. sizes.Select(size => new MixedTensor(size, Parameter, Gradient))];

    public override string ToString() =>
        $"{Parameter} gradient={Gradient} state={State} master={MasterWeights} stochastic={Stochastic}";

    /// <summary>An optimizer with all the states that it can have.</summary>
    public Optimizer Create(string name, ParameterSet set) => Rules.Create(set, With(name switch
    {
        nameof(Adam) => new AdamOptions { Amsgrad = true, Beta1 = 0.8, Beta2 = 0.9, Epsilon = 0.02 },
        nameof(AdamW) => new AdamWOptions { Beta1 = 0.8, Beta2 = 0.9, Epsilon = 0.02 },
        nameof(InvAdam) => new InvAdamOptions { Beta1 = 0.8, Beta2 = 0.9, Epsilon = 0.02 },
        nameof(DualAdam) => new DualAdamOptions { Beta1 = 0.8, Beta2 = 0.9, Epsilon = 0.02, SwitchingRate = 0.11 },
        nameof(Sgd) => new SgdOptions { Momentum = 0.7, Nesterov = true },
        nameof(MiAdam) => new MiAdamOptions { Order = 3, SwitchStep = 100 },
        _ => TypedRule.All.Single(typed => typed.Name == name).WithAllStates(),
    }));

    /// <summary>The optimizers that there are equations of in double.</summary>
    public static IReadOnlyList<string> NamesWithReference { get; } =
        [nameof(Adam), nameof(AdamW), nameof(InvAdam), nameof(DualAdam), nameof(Sgd)];

    /// <summary>The same rule in double.</summary>
    public static Reference ReferenceOf(string name)
    {
        Reference reference = new()
        {
            LearningRate = 0.03,
            WeightDecay = 0.15,
            Beta1 = 0.8,
            Beta2 = 0.9,
            Epsilon = 0.02,
            SwitchingRate = 0.11,
        };
        return name switch
        {
            nameof(Adam) => reference with { Rule = ReferenceRule.Adam, Amsgrad = true },
            nameof(AdamW) => reference with { Rule = ReferenceRule.Adam, Decoupled = true },
            nameof(InvAdam) => reference with { Rule = ReferenceRule.InvAdam },
            nameof(DualAdam) => reference with { Rule = ReferenceRule.DualAdam },
            nameof(Sgd) => reference with { Rule = ReferenceRule.Sgd, Momentum = 0.7, Nesterov = true },
            _ => throw new ArgumentOutOfRangeException(nameof(name), name, null),
        };
    }

    /// <summary>Options of any optimizer with these types; states that cannot have that of the states are float32.</summary>
    public OptimizerOptions With(OptimizerOptions options)
    {
        RuleState[] precise = [.. options.Rule.States.Where(state => !Allows(state, State))];
        DType type = precise.Length == options.Rule.States.Count ? DType.Float32 : State;
        return options with
        {
            LearningRate = 0.03,
            WeightDecay = 0.15,
            StateType = type,
            StateTypes = precise.ToDictionary(static state => state.Role, static _ => DType.Float32),
            MasterWeights = MasterWeights,
            StochasticRounding = Stochastic,
            RoundingSeed = Stochastic ? Seed : 0,
            MinDynamic8ElementCount = type == DType.Dynamic8 ? MinDynamic8ElementCount : options.MinDynamic8ElementCount,
        };
    }

    /// <summary>Whether a state that an optimizer allocates may have a type: 8 bits can be filled with 0 alone.</summary>
    private static bool Allows(RuleState state, DType type) =>
        state.DTypes.Contains(type)
        && (type != DType.Dynamic8 || (state.InitialValue == 0 && state.InitialHyperparameter is null));

    private static Dictionary<string, Precision> Mixes(params DType[] states) => (
        from parameter in Numbers
        from gradient in Numbers
        from state in states
        from master in Enum.GetValues<MasterWeights>()
        from stochastic in new[] { false, true }
        where master == MasterWeights.None || parameter != DType.Float32
        where master != MasterWeights.Remainder || parameter == DType.BFloat16
        where !stochastic || (parameter == DType.BFloat16 && master == MasterWeights.None)
        select new Precision(parameter, gradient, state, master, stochastic)).ToDictionary(static mix => mix.ToString());
}
