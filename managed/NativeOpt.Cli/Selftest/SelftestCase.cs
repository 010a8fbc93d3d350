using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>One model that takes some steps.</summary>
internal sealed record SelftestCase
{
    /// <summary>Selects the numbers; the same whatever else is run.</summary>
    public required int Number { get; init; }

    public required RuleOptions Options { get; init; }

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
            if (Storage.IsStochasticFor(Counts.Length))
            {
                hyperparameters.flags |= (uint)nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING;
                hyperparameters.rounding_seed = (ulong)Number;
            }

            return hyperparameters;
        }
    }

    /// <summary>Whether a tensor has no gradient, and must stay as it is.</summary>
    public bool IsFrozen(int tensor) => Gradients is { } gradients && gradients.IsFrozen(tensor);

    /// <summary>The element type of a tensor's buffer; null: it has none.</summary>
    public DType? TypeOf(nopt_role role, int tensor) =>
        role == nopt_role.NOPT_ROLE_GRAD && IsFrozen(tensor) ? null : Storage[tensor].TypeOf(role);

    public long ElementCount => Counts.Sum(static count => (long)count);

    public override string ToString() => $"{Options.Rule} {OptionNames} on {Arrangement}";
}
