namespace NativeOpt.Cli.Saddles;

/// <summary>What <c>nativeopt saddle</c> puts around an update rule.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Description">What it does.</param>
/// <param name="Color">Its colour in pictures, an index into the palette.</param>
/// <param name="Options">The dimer's options; null: no dimer.</param>
/// <param name="IsExact">Whether the direction is the problem's exact one and stays so.</param>
/// <param name="Baseline">Makes what is no dimer, from a seed; null: nothing else.</param>
internal sealed record SaddleDimer(
    string Name,
    string Description,
    int Color,
    DimerOptions? Options,
    bool IsExact = false,
    Func<ulong, SaddleBaseline>? Baseline = null)
{
    private const int Black = 6;
    private const int Orange = 4;
    private const int LightBlue = 5;
    private const int Vermilion = 1;
    private const int Green = 2;
    private const int Blue = 0;
    private const int Pink = 3;

    /// <summary>Whether it is the rule alone.</summary>
    public bool IsNone => Options is null && Baseline is null;

    /// <summary>All of them.</summary>
    public static IReadOnlyList<SaddleDimer> All { get; } = Create();

    private static SaddleDimer[] Create()
    {
        // One way to learn a direction, and one to keep it: the correction is what the others differ in.
        var published = new DimerOptions();
        DimerOptions escape = DimerOptions.Recommended;
        DimerOptions conjugate = escape with { Angle = RotationAngle.Conjugate };
        DimerOptions reverse = escape with { Correction = DimerCorrection.Published, Alpha = published.Alpha };
        DimerOptions ignore = reverse with { Alpha = 1 };
        return
        [
            new("none", "the rule alone", Black, null),
            new("published", "the paper's dimer with its settings", Orange, published),
            new("ignore", "the published correction with alpha 1, along a direction that is learned", LightBlue, ignore),
            new("reverse", "the published correction with alpha 5, along a direction that is learned", Vermilion, reverse),
            new("escape", "the escape correction: the recommended preset", Green, escape),
            new("escape-conjugate", "escape, along a direction that conjugate directions learn", Pink, conjugate),
            new("escape-conjugate-3", "escape-conjugate with 3 rotations in an update", Pink,
                conjugate with { RotationsPerUpdate = 3 }),
            new("ignore-exact", "ignore, along the exact direction", LightBlue, Keep(ignore), IsExact: true),
            new("reverse-exact", "reverse, along the exact direction", Vermilion, Keep(reverse), IsExact: true),
            new("escape-exact", "escape, along the exact direction", Green, Keep(escape), IsExact: true),
            new("perturbed", "no dimer: jumps at random where the gradient is small (Jin et al. 2017)", Blue, null,
                Baseline: static seed => new PerturbedDescent(seed)),
            new("sam", "no dimer: the gradient a step up along it (SAM, Foret et al. 2021)", Blue, null,
                Baseline: static _ => new SharpnessAware()),
            new("zeroth-order", "no dimer: a direction of negative curvature from function values (Zhang et al. 2022)", Blue, null,
                Baseline: static seed => new ZerothOrderCurvature(seed)),
        ];

        // It still measures the curvature, for a gradient at each update.
        static DimerOptions Keep(DimerOptions options) =>
            options with { Angle = RotationAngle.FixedRate, RotationsPerUpdate = 1, RotationRate = 0 };
    }
}
