namespace NativeOpt.Cli.Landscapes;

/// <summary>
/// A sharp minimum at (−1, 0) within the basin of a flat one at (1, 0), equally deep: −T ln(e^(−a/T) + e^(−b/T)), a smooth minimum
/// of the two parabolas a = 10((x+1)² + y²) and b = ½((x−1)² + y²), with T = 0.1. The Hessian's eigenvalues are 20 at the sharp
/// minimum and 1 at the flat one, but for e^(−20).
/// </summary>
internal sealed class SharpFlatLandscape : Landscape
{
    private const double SharpCurvature = 20;
    private const double FlatCurvature = 1;
    private const double Temperature = 0.1;

    public override string Name => "sharp-flat";

    public override string Equation => "-0.1 ln(exp(-10a) + exp(-10b)), a = 10((x+1)²+y²), b = ((x-1)²+y²)/2";

    public override double HalfWidth => 3;

    // The straight way from here to the flat minimum passes the sharp one at its border.
    public override (double X, double Y) DefaultStart => (-2.5, 0.6);

    public override LandscapeValue Evaluate(double x, double y)
    {
        (double fromSharp, double fromFlat) = (x + 1, x - 1);
        double a = SharpCurvature / 2 * ((fromSharp * fromSharp) + (y * y));
        double b = FlatCurvature / 2 * ((fromFlat * fromFlat) + (y * y));
        double ofSharp = 1 / (1 + Math.Exp((a - b) / Temperature));
        double ofFlat = 1 - ofSharp;
        return new LandscapeValue(
            Math.Min(a, b) - (Temperature * Math.Log(1 + Math.Exp(-Math.Abs(a - b) / Temperature))),
            (ofSharp * SharpCurvature * fromSharp) + (ofFlat * FlatCurvature * fromFlat),
            ((ofSharp * SharpCurvature) + (ofFlat * FlatCurvature)) * y);
    }
}
