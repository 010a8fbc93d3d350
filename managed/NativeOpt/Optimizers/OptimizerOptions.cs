using System.Collections.ObjectModel;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What the options of all optimizers have in common.</summary>
/// <remarks>Numbers are computed with in double and rounded to float once, where a step uses them.</remarks>
public abstract record OptimizerOptions
{
    private const long DefaultMinDynamic8ElementCount = 4096;

    private readonly ReadOnlyDictionary<StateRole, DType> _stateTypes = ReadOnlyDictionary<StateRole, DType>.Empty;

    private protected OptimizerOptions()
    {
    }

    /// <summary>The learning rate, 0 to 1e22; 1e-3 by default.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>The weight decay, 0 to 1e16; a tensor may have its own (<see cref="TensorOptions.WeightDecay"/>).</summary>
    public double WeightDecay { get; init; }

    /// <summary>Whether to ascend: the gradient's sign is flipped before anything else.</summary>
    public bool Maximize { get; init; }

    /// <summary>
    /// The element type of the states (moments, momentum buffer): float32, the default; bfloat16 or float16, which take half of
    /// the memory; or <see cref="DType.Dynamic8"/>, which takes a quarter of it, but for small tensors
    /// (<see cref="MinDynamic8ElementCount"/>). docs/precision.md tells what they cost in accuracy, and
    /// <see cref="RuleState.DTypes"/> which ones a state may have. <see cref="StateTypes"/> makes exceptions for states,
    /// <see cref="TensorOptions.StateType"/> for tensors.
    /// </summary>
    public DType StateType { get; init; } = DType.Float32;

    /// <summary>
    /// The element types of the states that have another one than <see cref="StateType"/>; none by default. The type of a
    /// tensor (<see cref="TensorOptions.StateType"/>) counts before that of a state.
    /// </summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    /// <example>
    /// <code>
    /// AdamWOptions options = new()
    /// {
    ///     StateTypes = new Dictionary&lt;StateRole, DType&gt; { [StateRole.ExpAvg] = DType.BFloat16 },
    /// };
    /// </code>
    /// </example>
    public IReadOnlyDictionary<StateRole, DType> StateTypes
    {
        get => _stateTypes;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            _stateTypes = new Dictionary<StateRole, DType>(value).AsReadOnly();
        }
    }

    /// <summary>
    /// With a type of states of <see cref="DType.Dynamic8"/> (<see cref="StateType"/>, <see cref="StateTypes"/>), tensors of
    /// fewer elements keep states of float32: biases and gains are delicate, and take little memory. 0 or more; 4096 by
    /// default, as with bitsandbytes. 0: all have 8 bits. A tensor's own <see cref="TensorOptions.StateType"/> is taken as it is.
    /// </summary>
    public long MinDynamic8ElementCount { get; init; } = DefaultMinDynamic8ElementCount;

    /// <summary>
    /// What is kept of parameters of 16 bits beyond their 16 bits; nothing by default. Float32 parameters need none and have
    /// none.
    /// </summary>
    public MasterWeights MasterWeights { get; init; }

    /// <summary>
    /// Whether bfloat16 parameters without <see cref="MasterWeights"/> are rounded up or down at random, right on average
    /// (Croci et al. 2022), and not to nearest. Parameters of other types are not concerned.
    /// </summary>
    public bool StochasticRounding { get; init; }

    /// <summary>
    /// Whether bfloat16 states (<see cref="StateType"/>, <see cref="StateTypes"/>) are rounded up or down at random, right on
    /// average, and not to nearest. States of other types are not concerned, and one must be bfloat16. Rounded to nearest, a
    /// second moment with the usual decay rate of 0.999 neither rises nor decays as it should: docs/precision.md has the numbers.
    /// </summary>
    public bool StochasticRoundingStates { get; init; }

    /// <summary>
    /// Selects the random numbers of <see cref="StochasticRounding"/> and <see cref="StochasticRoundingStates"/>, together with
    /// the step count: equal seeds give equal bits.
    /// </summary>
    public ulong RoundingSeed { get; init; }

    /// <summary>The rule that these are the options of, as the native library describes it.</summary>
    /// <exception cref="DllNotFoundException">The native library cannot be found.</exception>
    /// <exception cref="BadImageFormatException">The native library does not fit this assembly.</exception>
    public Rule Rule => Rule.Get(RuleName);

    /// <summary>Tells the states of the rule that an optimizer with these options keeps; master weights are not among them.</summary>
    /// <returns>The states, in the rule's order.</returns>
    /// <exception cref="ArgumentException">An option is out of its range, or does not fit the rule or another option.</exception>
    public IReadOnlyList<RuleState> GetStates()
    {
        nopt_hyperparams native = Values("", "").Native;
        return [.. Rule.States.Where(state => Rule.HasState(state, native))];
    }

    /// <summary>The native library's name of the rule that these are the options of.</summary>
    internal abstract string RuleName { get; }

    /// <summary>Makes the group of an optimizer that has these options.</summary>
    internal virtual OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new(optimizer, index, values);

    /// <summary>Says to the rule what these options are. Each hyperparameter and each flag comes from one property.</summary>
    internal virtual void Write(HyperparameterValues values)
    {
        values.Set("lr", LearningRate);
        values.Set("weight_decay", WeightDecay);
        values.SetFlag("maximize", Maximize);
        values.SetFlag("stochastic_rounding", StochasticRounding);
        values.SetFlag("stochastic_rounding_states", StochasticRoundingStates);
        values.SetRoundingSeed(RoundingSeed);
    }

    /// <summary>What a step with these options takes, checked.</summary>
    /// <param name="where">What messages say before the name of an option.</param>
    /// <param name="paramName">The argument that the options come from.</param>
    internal HyperparameterValues Values(string where, string paramName)
    {
        HyperparameterValues values = new(Rule, where, paramName);
        Write(values);
        values.RequireWhatFlagsNeed(values.Native, where, paramName);
        return values;
    }

    /// <summary>
    /// Throws unless one step can take these together with those of group 0: buffers and rounding are the same for all groups.
    /// </summary>
    internal void RequireLike(OptimizerOptions first, int group, string paramName)
    {
        RequireSame(nameof(Rule), RuleName, first.RuleName, group, paramName);
        RequireSame(nameof(StateType), StateType, first.StateType, group, paramName);
        RequireSame(nameof(StateTypes), TextOf(StateTypes), TextOf(first.StateTypes), group, paramName);
        RequireSame(
            nameof(MinDynamic8ElementCount), MinDynamic8ElementCount, first.MinDynamic8ElementCount, group, paramName);
        RequireSame(nameof(MasterWeights), MasterWeights, first.MasterWeights, group, paramName);
        RequireSame(nameof(StochasticRounding), StochasticRounding, first.StochasticRounding, group, paramName);
        RequireSame(
            nameof(StochasticRoundingStates), StochasticRoundingStates, first.StochasticRoundingStates, group, paramName);
        RequireSame(nameof(RoundingSeed), RoundingSeed, first.RoundingSeed, group, paramName);
    }

    internal static void RequireSame<T>(string name, T own, T first, int group, string paramName)
    {
        if (!EqualityComparer<T>.Default.Equals(own, first))
        {
            throw new ArgumentException(
                FormattableString.Invariant(
                    $"options[{group}].{name} is {own}, but options[0].{name} is {first}; it must be the same in all groups. ")
                + $"Make an optimizer of its own for the tensors of group {group}.",
                paramName);
        }
    }

    /// <summary>
    /// Throws unless parameters of these types can have what these options say of element types, and need it.
    /// </summary>
    internal void ValidateTypes(BufferLayout parameters, Func<int, string> nameOf, string paramName)
    {
        RequireStateTypes(paramName);
        if (MinDynamic8ElementCount < 0)
        {
            throw new ArgumentOutOfRangeException(
                paramName,
                MinDynamic8ElementCount,
                $"MinDynamic8ElementCount is {MinDynamic8ElementCount}; it must be 0 or more.");
        }

        bool hasDynamic8 = StateType == DType.Dynamic8 || StateTypes.Values.Contains(DType.Dynamic8);
        if (MinDynamic8ElementCount != DefaultMinDynamic8ElementCount && !hasDynamic8)
        {
            throw new ArgumentException(
                $"MinDynamic8ElementCount is {MinDynamic8ElementCount}, but StateType is {StateType}; it is for "
                + $"{DType.Dynamic8} alone.",
                paramName);
        }

        Check.Defined(MasterWeights, nameof(MasterWeights), paramName);
        DType[] types = parameters.Types.ToArray();
        int half = Array.IndexOf(types, DType.Float16);
        if (MasterWeights == MasterWeights.Remainder && half >= 0)
        {
            throw new ArgumentException(
                $"MasterWeights is Remainder, but tensor {half} (\"{nameOf(half)}\") is Float16; only BFloat16 "
                + "parameters have a remainder. Use MasterWeights.Float32, or a second set for the others.",
                paramName);
        }

        if (MasterWeights != MasterWeights.None && half < 0 && Array.IndexOf(types, DType.BFloat16) < 0)
        {
            throw new ArgumentException(
                $"MasterWeights is {MasterWeights}, but no tensor has 16 bits; float32 parameters need none. Use "
                + "MasterWeights.None.",
                paramName);
        }

        if (StochasticRounding && MasterWeights != MasterWeights.None)
        {
            throw new ArgumentException(
                $"StochasticRounding is for BFloat16 parameters without master weights, but MasterWeights is {MasterWeights}. "
                + "Use one of the two.",
                paramName);
        }

        if (StochasticRounding && Array.IndexOf(types, DType.BFloat16) < 0)
        {
            throw new ArgumentException("StochasticRounding is set, but no tensor is BFloat16.", paramName);
        }

        if (RoundingSeed != 0 && !StochasticRounding && !StochasticRoundingStates)
        {
            throw new ArgumentException(
                $"RoundingSeed is {RoundingSeed}, but neither StochasticRounding nor StochasticRoundingStates is set; nothing is "
                + "random without them.",
                paramName);
        }
    }

    /// <summary>The element type of a state of a tensor.</summary>
    /// <param name="state">The state.</param>
    /// <param name="elementCount">The tensor's elements.</param>
    /// <param name="ofTensor">The type that the tensor's states have, if it has one of its own.</param>
    internal DType StateTypeOf(RuleState state, long elementCount, DType? ofTensor)
    {
        DType ofState = StateTypes.GetValueOrDefault(state.Role, StateType);
        return ofTensor ?? (ofState == DType.Dynamic8 && elementCount < MinDynamic8ElementCount ? DType.Float32 : ofState);
    }

    /// <summary>What messages call the option that a state of a tensor has its type from.</summary>
    internal string SourceOfStateType(RuleState state, int tensor, DType? ofTensor) =>
        ofTensor is not null ? $"{nameof(TensorOptions)}.{nameof(TensorOptions.StateType)} of tensor {tensor}"
        : StateTypes.ContainsKey(state.Role) ? $"{nameof(StateTypes)}[\"{state.Name}\"]"
        : nameof(StateType);

    private static string TextOf(IReadOnlyDictionary<StateRole, DType> types) =>
        types.Count == 0
            ? "empty"
            : string.Join(", ", types.Select(static own => $"{own.Key} {own.Value}").Order(StringComparer.Ordinal));

    /// <summary>Throws unless states of the rule may have the types that they are to have.</summary>
    private void RequireStateTypes(string paramName)
    {
        DType[] allowed = [.. Rule.States.SelectMany(static state => state.DTypes).Append(DType.Float32).Distinct().Order()];
        Require(nameof(StateType), StateType, allowed);
        foreach ((StateRole role, DType type) in StateTypes)
        {
            RuleState state = Rule.FindState(role) ?? throw new ArgumentException(
                $"{nameof(StateTypes)} has \"{role}\", but the rule \"{RuleName}\" has no such state; it has "
                + $"{Rule.Names(Rule.States.Select(static own => own.Name))}.",
                paramName);
            Require($"{nameof(StateTypes)}[\"{role}\"]", type, state.DTypes);
        }

        void Require(string name, DType type, IReadOnlyList<DType> allowed)
        {
            if (!allowed.Contains(type))
            {
                throw new ArgumentOutOfRangeException(
                    paramName, type, $"{name} is {type}; it must be {Check.OneOf(allowed)} with the rule \"{RuleName}\".");
            }
        }
    }
}
