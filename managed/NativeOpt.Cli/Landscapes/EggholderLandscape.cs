namespace NativeOpt.Cli.Landscapes;

/// <summary>
/// The Eggholder function (Whitley et al. 1996), which the DualAdam paper (arXiv 2603.07122) shows paths on: many minima, the lowest
/// of which, −959.64, is on the border at (512, 404.23).
/// </summary>
internal sealed class EggholderLandscape : Landscape
{
    private const double Shift = 47;

    public override string Name => "eggholder";

    public override string Equation => "-(y+47) sin√|x/2+y+47| - x sin√|x-y-47|";

    public override double HalfWidth => 512;

    // Where a few rules end in other minima than most: from many points all of them take the way to the nearest one.
    public override (double X, double Y) DefaultStart => (350, 300);

    public override LandscapeValue Evaluate(double x, double y)
    {
        double shifted = y + Shift;
        (double sum, double slopeOfSum) = SineOfRoot((x / 2) + shifted);
        (double difference, double slopeOfDifference) = SineOfRoot(x - shifted);
        return new LandscapeValue(
            (-shifted * sum) - (x * difference),
            (-shifted * slopeOfSum / 2) - difference - (x * slopeOfDifference),
            -sum - (shifted * slopeOfSum) + (x * slopeOfDifference));
    }

    /// <summary>sin√|u| and its derivative; at 0, where there is a cusp and no derivative, 0 is taken for it.</summary>
    private static (double Value, double Slope) SineOfRoot(double u)
    {
        double root = Math.Sqrt(Math.Abs(u));
        (double sine, double cosine) = Math.SinCos(root);
        return (sine, root == 0 ? 0 : Math.Sign(u) * cosine / (2 * root));
    }
}
