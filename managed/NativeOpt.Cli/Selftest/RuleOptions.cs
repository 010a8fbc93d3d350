using System.Runtime.InteropServices;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>An update rule with one combination of its options.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Name">The options, "plain" if there are none.</param>
/// <param name="Group">What the results are summed up under.</param>
/// <param name="Hyperparameters">What a step takes.</param>
internal sealed unsafe record RuleOptions(string Rule, string Name, string Group, nopt_hyperparams Hyperparameters)
{
    private const uint Decoupled = (uint)nopt_flag.NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    private const uint Nesterov = (uint)nopt_flag.NOPT_FLAG_NESTEROV;
    private const uint InverseEpsilon = (uint)nopt_flag.NOPT_FLAG_INVERSE_EPSILON;
    private const uint Momentum = (uint)nopt_hyperparam.NOPT_HYPERPARAM_MOMENTUM;
    private const uint SwitchingRate = (uint)nopt_hyperparam.NOPT_HYPERPARAM_SWITCHING_RATE;

    /// <summary>
    /// Every rule of the library with every combination of the options that it knows: of each rule the plain one first, and
    /// all together last.
    /// </summary>
    public static IReadOnlyList<RuleOptions> All()
    {
        List<RuleOptions> all = [];
        for (int i = 0; i < NativeMethods.nopt_rule_count(); i++)
        {
            nopt_rule_info info = new() { struct_size = (uint)sizeof(nopt_rule_info) };
            NativeCall.Require(NativeMethods.nopt_rule_get_info(i, &info), "nopt_rule_get_info");
            string rule = Marshal.PtrToStringUTF8((nint)(&info.name))!;
            nopt_hyperparams defaults = new() { struct_size = (uint)sizeof(nopt_hyperparams) };
            NativeCall.Require(
                NativeMethods.nopt_rule_get_defaults((sbyte*)&info.name, &defaults), $"nopt_rule_get_defaults({rule})");
            all.AddRange(Of(rule, defaults, info.flags, info.hyperparams));
        }

        return all;
    }

    private static IEnumerable<RuleOptions> Of(string rule, nopt_hyperparams defaults, uint flags, uint hyperparams) =>
        from weightDecay in (double[])[0, 0.05]
        from momentum in (double[])((hyperparams & Momentum) != 0 ? [0, 0.9] : [0])
        let excluded = (weightDecay > 0 ? 0 : Decoupled) | (momentum > 0 ? 0 : Nesterov)
        from subset in SubsetsOf(flags & ~excluded)
        select Create(rule, defaults, subset, weightDecay, momentum, (hyperparams & SwitchingRate) != 0);

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

    private static RuleOptions Create(
        string rule, nopt_hyperparams defaults, uint flags, double weightDecay, double momentum, bool hasSwitchingRate)
    {
        nopt_hyperparams h = defaults;
        h.flags = flags;
        h.lr = 0.01;
        h.weight_decay = weightDecay;
        h.momentum = momentum;
        h.switching_rate = hasSwitchingRate ? 0.4 : 0; // Adam alone from the third step on
        h.eps = (flags & InverseEpsilon) != 0 ? 1e-3 : h.eps; // large enough to be seen

        bool isDecoupled = (flags & Decoupled) != 0;
        IEnumerable<string> names = Enum.GetValues<nopt_flag>()
            .Where(flag => (flags & (uint)flag & ~Decoupled) != 0)
            .Select(static flag => NativeCall.NameOf(flag, "NOPT_FLAG_"));
        names = momentum > 0 ? names.Prepend("momentum") : names;
        names = weightDecay > 0 ? names.Prepend(isDecoupled ? "decoupled" : "l2") : names;
        string group = weightDecay == 0 ? "no decay" : isDecoupled ? "decoupled decay" : "l2 decay";
        return new RuleOptions(rule, string.Join(' ', names.DefaultIfEmpty("plain")), group, h);
    }
}
