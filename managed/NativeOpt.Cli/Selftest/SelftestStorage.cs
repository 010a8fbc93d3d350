using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>How the numbers of a tensor are stored.</summary>
/// <param name="Parameter">The element type of the parameter.</param>
/// <param name="Gradient">The element type of the gradient, and of the rule's inputs.</param>
/// <param name="State">The element type of those states of the rule that may have it; the others are float32.</param>
/// <param name="Master">What there is of the parameter beyond its 16 bits.</param>
internal sealed record TensorStorage(
    DType Parameter, DType Gradient, DType State = DType.Float32, MasterWeights Master = MasterWeights.None)
{
    /// <summary>The element type of a role that is not a state or an input; null: the tensor has no such buffer.</summary>
    public DType? TypeOf(nopt_role role) => role switch
    {
        nopt_role.NOPT_ROLE_PARAM or nopt_role.NOPT_ROLE_PARAM_BACKUP => Parameter,
        nopt_role.NOPT_ROLE_GRAD or nopt_role.NOPT_ROLE_GRAD_DISPLACED or nopt_role.NOPT_ROLE_GRAD_BACKUP => Gradient,
        nopt_role.NOPT_ROLE_MASTER_PARAM => Master == MasterWeights.Float32 ? DType.Float32 : null,
        nopt_role.NOPT_ROLE_PARAM_REMAINDER => Master == MasterWeights.Remainder ? DType.UInt16 : null,
        _ => DType.Float32,
    };

    /// <summary>The element type of a state.</summary>
    public DType TypeOf(RuleState state) => state.DTypes.Contains(State) ? State : DType.Float32;
}

/// <summary>How the numbers of a case are stored: what each tensor has, by its index.</summary>
/// <param name="Name">What cases call it.</param>
/// <param name="Group">What the results are summed up under.</param>
/// <param name="Tensors">What tensors have, in turn.</param>
/// <param name="IsStochastic">
/// Whether bfloat16 states, and bfloat16 parameters without anything beyond them, are rounded at random.
/// </param>
internal sealed record SelftestStorage(string Name, string Group, TensorStorage[] Tensors, bool IsStochastic = false)
{
    private const DType F = DType.Float32, B = DType.BFloat16, H = DType.Float16, D = DType.Dynamic8;
    private const string Parameters16 = "16-bit params";

    public static SelftestStorage Float32 { get; } = new("float32", "", [new(F, F)]);

    /// <summary>All others: each alone as far as that is possible, and at last all of them in one set.</summary>
    public static IReadOnlyList<SelftestStorage> Others { get; } =
    [
        new("bfloat16", Parameters16, [new(B, B)]),
        new("16 bits", Parameters16, [new(H, H), new(B, F), new(F, H), new(H, B), new(F, B)]),
        new("masters", Parameters16, [new(B, B, F, MasterWeights.Float32), new(H, F, B, MasterWeights.Float32), new(F, F)]),
        new(
            "remainders", Parameters16,
            [new(B, B, F, MasterWeights.Remainder), new(B, F, B, MasterWeights.Remainder), new(F, B)]),
        new("stochastic rounding", Parameters16, [new(B, F), new(B, B, B)], IsStochastic: true),
        new("bfloat16 states", "16-bit states", [new(F, F, B)]),
        new("float16 states", "16-bit states", [new(F, F, H)]),
        new("dynamic8 states", "8-bit states", [new(F, F, D)]),
        new(
            "everything",
            "mixed types",
            [
                new(B, B, D, MasterWeights.Remainder), new(F, F, D), new(B, F, D), new(H, H, B),
                new(H, B, D, MasterWeights.Float32), new(F, H, H), new(B, H, B, MasterWeights.Float32),
            ],
            IsStochastic: true),
    ];

    /// <summary>What a tensor has.</summary>
    public TensorStorage this[int tensor] => Tensors[tensor % Tensors.Length];

    /// <summary>
    /// Whether it is of use for a rule: where only the states are not float32, a state must be able to have their type.
    /// </summary>
    public bool IsFor(Rule rule) =>
        Tensors.Any(static tensor => tensor.Parameter != F || tensor.Gradient != F)
        || rule.States.Any(state => Tensors.Any(tensor => tensor.TypeOf(state) != F));

    /// <summary>
    /// The flags that say what is rounded at random of the first tensors; the library refuses one where nothing could be.
    /// </summary>
    public nopt_flag RandomlyRounded(Rule rule, int tensorCount)
    {
        TensorStorage[] tensors = IsStochastic ? [.. Tensors.Take(tensorCount)] : [];
        bool hasParameters = tensors.Any(static tensor => tensor is { Parameter: DType.BFloat16, Master: MasterWeights.None });
        bool hasStates = tensors.Any(tensor => rule.States.Any(state => tensor.TypeOf(state) == DType.BFloat16));
        return (hasParameters ? nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING : 0)
            | (hasStates ? nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING_STATES : 0);
    }
}
