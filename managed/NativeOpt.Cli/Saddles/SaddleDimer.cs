namespace NativeOpt.Cli.Saddles;

/// <summary>What <c>nativeopt saddle</c> puts around an update rule.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Description">What it does.</param>
/// <param name="Color">Its colour in pictures, an index into the palette.</param>
/// <param name="Options">The dimer's options; null: no dimer.</param>
/// <param name="IsExact">Whether the direction is the problem's exact one and stays so.</param>
internal sealed record SaddleDimer(
    string Name, string Description, int Color, DimerOptions? Options, bool IsExact = false)
{
    private const int Black = 6;
    private const int Orange = 4;
    private const int LightBlue = 5;
    private const int Vermilion = 1;
    private const int Green = 2;

    /// <summary>All of them.</summary>
    public static IReadOnlyList<SaddleDimer> All { get; } = Create();

    private static SaddleDimer[] Create()
    {
        // One way to learn a direction, and one to keep it: the correction is what the others differ in.
        var published = new DimerOptions();
        DimerOptions escape = DimerOptions.Recommended;
        DimerOptions reverse = escape with { Correction = DimerCorrection.Published, Alpha = published.Alpha };
        DimerOptions ignore = reverse with { Alpha = 1 };
        return
        [
            new("none", "the rule alone", Black, null),
            new("published", "the paper's dimer with its settings", Orange, published),
            new("ignore", "the published correction with alpha 1, along a direction that is learned", LightBlue, ignore),
            new("reverse", "the published correction with alpha 5, along a direction that is learned", Vermilion, reverse),
            new("escape", "the escape correction: the recommended preset", Green, escape),
            new("ignore-exact", "ignore, along the exact direction", LightBlue, Keep(ignore), IsExact: true),
            new("reverse-exact", "reverse, along the exact direction", Vermilion, Keep(reverse), IsExact: true),
            new("escape-exact", "escape, along the exact direction", Green, Keep(escape), IsExact: true),
        ];

        // It still measures the curvature, for a gradient at each update.
        static DimerOptions Keep(DimerOptions options) =>
            options with { Angle = RotationAngle.FixedRate, RotationsPerUpdate = 1, RotationRate = 0 };
    }
}
