namespace NativeOpt.Cli.Deo;

/// <summary>What is put around each rule: a dimer, or nothing.</summary>
/// <param name="Name">What the command line and the tables call it.</param>
/// <param name="Options">The dimer's options; null: there is none.</param>
internal sealed record DeoVariant(string Name, DimerOptions? Options)
{
    /// <summary>The rule alone, what the others are compared with.</summary>
    public static DeoVariant None { get; } = new("none", null);

    /// <summary>The dimers of the command line: the paper's settings, and those that measurements at saddle points found to work.</summary>
    public static IReadOnlyList<DeoVariant> Dimers { get; } =
        [new("published", new DimerOptions()), new("recommended", DimerOptions.Recommended)];

    /// <summary>The ablations: a dimer with one setting varied, by the name of the setting.</summary>
    public static IReadOnlyList<(string Name, Func<DeoVariant, IReadOnlyList<DeoVariant>> Of)> Sweeps { get; } =
    [
        ("interval", static dimer => dimer.Vary([5, 10, 20], "f", static (own, value) => own with { Interval = (int)value })),
        ("alpha", static dimer => dimer.Vary([1, 2, 5, 10], "α", static (own, value) => own with { Alpha = value })),
        ("displacement", static dimer => dimer.Vary([1e-3, 1e-2, 0.1], "ΔR", static (own, value) => own with { Displacement = value })),
    ];

    private DeoVariant[] Vary(double[] values, string symbol, Func<DimerOptions, double, DimerOptions> with) =>
        [.. values.Select(value => new DeoVariant(FormattableString.Invariant($"{Name} {symbol}={value}"), with(Options!, value)))];
}
