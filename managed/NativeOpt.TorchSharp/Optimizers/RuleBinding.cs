using System.Collections.ObjectModel;

namespace NativeOpt.TorchSharp;

/// <summary>
/// What an optimizer class is made of: a rule of the library, and the class of TorchSharp whose options and states it shares,
/// if there is one.
/// </summary>
internal sealed class RuleBinding
{
    private const string CorrectionByPower = "bias_correction_by_power";

    private readonly Type? _torch;
    private readonly string[] _fixedFlags;

    /// <param name="rule">The rule's name in the library.</param>
    /// <param name="torch">TorchSharp's class, which has nested classes Options and State; null if it has none.</param>
    /// <param name="torchNames">What TorchSharp calls options that have another name there, by the rule's name; null: none has.</param>
    /// <param name="fixedFlags">The flags that are always set.</param>
    public RuleBinding(
        string rule, Type? torch = null, IReadOnlyDictionary<string, string>? torchNames = null, params string[] fixedFlags)
    {
        Rule = Rule.Get(rule);
        _torch = torch;
        Options = torch is null
            ? new OwnOptionAccess(Rule)
            : new TorchOptionAccess(Nested(torch, nameof(Options)), Rule, torchNames ?? ReadOnlyDictionary<string, string>.Empty);

        // TorchSharp corrects the bias by the present beta to the power of the step count, whatever beta was before. So the step
        // count is all that its state files hold of these products.
        _fixedFlags = Rule.Flags.Any(static flag => flag.Name == CorrectionByPower)
            ? [.. fixedFlags, CorrectionByPower]
            : fixedFlags;
    }

    public Rule Rule { get; }

    public OptionAccess Options { get; }

    /// <summary>What messages call the class of the options that the groups must have.</summary>
    public string OptionsName => _torch is null ? nameof(FusedOptions) : $"TorchSharp.Modules.{_torch.Name}.Options";

    /// <summary>The access to states: of TorchSharp's class, unless there is none or master weights have to be kept, too.</summary>
    public StateAccess StatesWith(bool masterWeights) =>
        _torch is null || masterWeights
            ? new OwnStateAccess(Rule, Rule.States.Count + (masterWeights ? 1 : 0))
            : new TorchStateAccess(Nested(_torch, "State"), Rule);

    /// <summary>The rule's options with these values.</summary>
    public RuleOptions ToRuleOptions(
        ReadOnlySpan<double> hyperparameters, ReadOnlySpan<bool> flags, MasterWeights masters, StepOptions stepOptions)
    {
        Dictionary<string, double> values = [];
        for (int i = 0; i < hyperparameters.Length; i++)
        {
            values.Add(Rule.Hyperparameters[i].Name, hyperparameters[i]);
        }

        List<string> set = [.. _fixedFlags];
        for (int i = 0; i < flags.Length; i++)
        {
            if (flags[i] && !set.Contains(Rule.Flags[i].Name))
            {
                set.Add(Rule.Flags[i].Name);
            }
        }

        RuleOptions options = new(Rule.Name) { Hyperparameters = values, Flags = set, MasterWeights = masters };

        // Which types states have is seen when they are bound; what is rounded at random has to be said with some that may be.
        return !stepOptions.StochasticRoundingStates ? options : options with
        {
            StochasticRoundingStates = true,
            RoundingSeed = stepOptions.RoundingSeed,
            StateTypes = Rule.States.Where(static state => state.DTypes.Contains(DType.BFloat16))
                .ToDictionary(static state => state.Role, static _ => DType.BFloat16),
        };
    }

    private static Type Nested(Type type, string name) =>
        type.GetNestedType(name) ?? throw new MissingMemberException(type.FullName, name);
}
