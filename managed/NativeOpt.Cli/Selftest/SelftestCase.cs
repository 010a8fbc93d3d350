namespace NativeOpt.Cli.Selftest;

/// <summary>One model that takes some steps.</summary>
internal sealed record SelftestCase
{
    /// <summary>Selects the numbers; the same whatever else is run.</summary>
    public required int Number { get; init; }

    public required RuleOptions Options { get; init; }

    /// <summary>The dimer around the rule, if any.</summary>
    public required DimerSetting? Dimer { get; init; }

    public required SelftestArrangement Arrangement { get; init; }

    /// <summary>The elements of each tensor.</summary>
    public required int[] Counts { get; init; }

    public required int Steps { get; init; }

    public string Group => Dimer?.Group ?? Options.Group;

    public string OptionNames => Dimer is null ? Options.Name : $"{Options.Name}, {Dimer.Name}";

    public long ElementCount => Counts.Sum(static count => (long)count);

    public override string ToString() => $"{Options.Rule} {OptionNames} on {Arrangement}";
}
