using NativeOpt.Cli.Optimizers;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>One model that takes some steps.</summary>
internal sealed record SelftestCase
{
    /// <summary>Selects the numbers; the same whatever else is run.</summary>
    public required int Number { get; init; }

    public required SelftestRule Options { get; init; }

    /// <summary>The dimer around the rule, if any.</summary>
    public required DimerSetting? Dimer { get; init; }

    /// <summary>What the numbers are made of.</summary>
    public SelftestStorage Storage { get; init; } = SelftestStorage.Float32;

    /// <summary>What becomes of the gradients first; null: nothing.</summary>
    public SelftestGradients? Gradients { get; init; }

    public required SelftestArrangement Arrangement { get; init; }

    /// <summary>The elements of each tensor.</summary>
    public required int[] Counts { get; init; }

    public required int Steps { get; init; }

    public string Group => Gradients is not null ? SelftestGradients.Group
        : Storage != SelftestStorage.Float32 ? Storage.Group
        : Dimer?.Group ?? Options.Group;

    public string OptionNames => string.Join(", ", new[]
    {
        Options.Name, Dimer?.Name, Storage == SelftestStorage.Float32 ? null : Storage.Name, Gradients?.Name,
    }.Where(static name => name is not null));

    /// <summary>Whether the device counts the steps.</summary>
    public bool IsCapturable => Arrangement.IsCapturable || Gradients is { Skips: true };

    /// <summary>What a step takes, the learning rate apart.</summary>
    public nopt_hyperparams Hyperparameters
    {
        get
        {
            nopt_hyperparams hyperparameters = Options.Hyperparameters;
            nopt_flag rounding = Storage.RandomlyRounded(Options.Rule, Counts.Length);
            hyperparameters.flags |= (uint)rounding;
            hyperparameters.rounding_seed = rounding == 0 ? 0 : (ulong)Number;
            return hyperparameters;
        }
    }

    /// <summary>The roles of the rule's inputs.</summary>
    public IEnumerable<nopt_role> InputRoles => Options.Rule.Inputs.Select(
        static input => (nopt_role)((int)nopt_role.NOPT_ROLE_INPUT + input.Index));

    /// <summary>The roles of the rule's states, those that the options do not need included.</summary>
    public IEnumerable<nopt_role> StateRoles => Options.Rule.States.Select(
        static state => (nopt_role)((int)nopt_role.NOPT_ROLE_STATE + state.Index));

    /// <summary>Whether a tensor never has a gradient, and must stay as it is.</summary>
    public bool IsFrozen(int tensor) => Gradients is { } gradients && gradients.IsFrozen(tensor);

    /// <summary>Whether a tensor has a gradient in a step, counted from 1.</summary>
    public bool HasGradient(int tensor, int step) => Gradients is not { } gradients || gradients.HasGradient(tensor, step);

    /// <summary>The state that a role is; null if it is none.</summary>
    public RuleState? StateOf(nopt_role role) =>
        Options.Rule.States.FirstOrDefault(state => (int)nopt_role.NOPT_ROLE_STATE + state.Index == (int)role);

    /// <summary>What differences call a role.</summary>
    public string NameOf(nopt_role role) => StateOf(role)?.Name ?? InputOf(role)?.Name ?? LibraryRoles.Get(role).Name;

    /// <summary>The element type of a tensor's buffer; null: it has none.</summary>
    public DType? TypeOf(nopt_role role, int tensor) =>
        role == nopt_role.NOPT_ROLE_GRAD && IsFrozen(tensor) ? null
            : StateOf(role) is { } state ? Storage[tensor].TypeOf(state)
            : InputOf(role) is not null ? Storage[tensor].Gradient
            : Storage[tensor].TypeOf(role);

    public long ElementCount => Counts.Sum(static count => (long)count);

    public override string ToString() => $"{Options.Rule.Name} {OptionNames} on {Arrangement}";

    private RuleInput? InputOf(nopt_role role) =>
        Options.Rule.Inputs.FirstOrDefault(input => (int)nopt_role.NOPT_ROLE_INPUT + input.Index == (int)role);
}
