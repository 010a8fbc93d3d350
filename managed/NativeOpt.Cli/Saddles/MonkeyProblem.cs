namespace NativeOpt.Cli.Saddles;

/// <summary>
/// x³ − 3xy² + ¼(x² + y²)²: the monkey saddle with a wall. With the angle φ it is r³ cos 3φ + ¼r⁴, which is lowest, −27/4,
/// at r = 3 in three directions.
/// </summary>
internal sealed class MonkeyProblem : SaddleProblem
{
    private readonly double[] _saddle = new double[2];

    public override string Name => "monkey";

    public override string Description =>
        "x³ - 3xy² + (x² + y²)²/4 at 0; degenerate: its Hessian there is 0, so that no direction has a negative curvature";

    public override IReadOnlyList<int> TensorSizes { get; } = [2];

    public override ReadOnlySpan<double> Saddle => _saddle;

    public override double SmallestCurvature => 0;

    public override ReadOnlySpan<double> EscapeDirection => [];

    // The gradient falls with the square of the distance: nearer, everything would only wait longer.
    public override double StartDistance => 1e-2;

    public override double SaddleLoss => 0;

    public override double Depth => 27.0 / 4;

    public override double Evaluate(ReadOnlySpan<double> parameters, Span<double> gradient)
    {
        double x = parameters[0];
        double y = parameters[1];
        double squared = (x * x) + (y * y);
        gradient[0] = (3 * ((x * x) - (y * y))) + (squared * x);
        gradient[1] = (-6 * x * y) + (squared * y);
        return (x * ((x * x) - (3 * y * y))) + (0.25 * squared * squared);
    }
}
