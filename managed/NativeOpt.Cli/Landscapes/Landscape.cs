namespace NativeOpt.Cli.Landscapes;

/// <summary>A landscape at a point.</summary>
/// <param name="Loss">The function's value.</param>
/// <param name="GradientX">Its derivative by x.</param>
/// <param name="GradientY">Its derivative by y.</param>
internal readonly record struct LandscapeValue(double Loss, double GradientX, double GradientY)
{
    /// <summary>The length of the gradient.</summary>
    public double GradientNorm => double.Hypot(GradientX, GradientY);
}

/// <summary>The second derivatives of a landscape at a point.</summary>
internal readonly record struct LandscapeHessian(double XX, double XY, double YY)
{
    /// <summary>The largest eigenvalue.</summary>
    public double Sharpness => ((XX + YY) / 2) + double.Hypot((XX - YY) / 2, XY);
}

/// <summary>
/// A function of two parameters on the square |x|, |y| ≤ <see cref="HalfWidth"/>, computed in double. Its functions may be called
/// from several threads.
/// </summary>
internal abstract class Landscape
{
    // The mean gradient is over the middles of so many cells a side: enough that more of them change it by less than 1 %.
    private const int Cells = 256;

    // Of the half width: the distance of the points that differences of gradients are taken from.
    private const double DifferenceStep = 1e-5;

    private readonly Lazy<double> _meanGradient;

    protected Landscape() => _meanGradient = new Lazy<double>(ComputeMeanGradient);

    /// <summary>All landscapes of <c>nativeopt landscape</c>.</summary>
    public static IReadOnlyList<Landscape> All { get; } = [new EggholderLandscape(), new SharpFlatLandscape()];

    /// <summary>What the command line calls it.</summary>
    public abstract string Name { get; }

    /// <summary>The function, as an equation.</summary>
    public abstract string Equation { get; }

    /// <summary>Half of the side of the square, whose middle is (0, 0): what optimizers take for a length of 1.</summary>
    public abstract double HalfWidth { get; }

    /// <summary>Where runs begin unless another point is given.</summary>
    public abstract (double X, double Y) DefaultStart { get; }

    /// <summary>The mean length of the gradient over the square: what optimizers take for a gradient of length 1.</summary>
    public double MeanGradient => _meanGradient.Value;

    /// <summary>The function and its gradient.</summary>
    public abstract LandscapeValue Evaluate(double x, double y);

    /// <summary>Whether a point is in the square; a point that is no number is not.</summary>
    public bool Contains(double x, double y) => Math.Abs(x) <= HalfWidth && Math.Abs(y) <= HalfWidth;

    /// <summary>The second derivatives, by central differences of the gradient.</summary>
    public LandscapeHessian Hessian(double x, double y)
    {
        double step = DifferenceStep * HalfWidth;
        (LandscapeValue left, LandscapeValue right) = (Evaluate(x - step, y), Evaluate(x + step, y));
        (LandscapeValue below, LandscapeValue above) = (Evaluate(x, y - step), Evaluate(x, y + step));
        return new LandscapeHessian(
            (right.GradientX - left.GradientX) / (2 * step),
            (right.GradientY - left.GradientY + above.GradientX - below.GradientX) / (4 * step),
            (above.GradientY - below.GradientY) / (2 * step));
    }

    private double ComputeMeanGradient()
    {
        double sum = 0;
        for (int i = 0; i < Cells * Cells; i++)
        {
            sum += Evaluate(Middle(i % Cells), Middle(i / Cells)).GradientNorm;
        }

        return sum / (Cells * Cells);

        double Middle(int cell) => HalfWidth * ((((2 * cell) + 1.0) / Cells) - 1);
    }
}
