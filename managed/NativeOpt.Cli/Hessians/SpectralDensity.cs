namespace NativeOpt.Cli.Hessians;

/// <summary>
/// The density of a matrix's eigenvalues by stochastic Lanczos quadrature (Lin, Saad and Yang 2016; Ghorbani et al. 2019), and its
/// trace by Hutchinson's estimate, from the same random vectors of ±1.
/// </summary>
/// <param name="Probes">The nodes and weights of each vector.</param>
/// <param name="Dimension">The dimension of the matrix.</param>
internal sealed record SpectralDensity(IReadOnlyList<IReadOnlyList<RitzPair>> Probes, int Dimension)
{
    // Of the range of the nodes, on each side of them, and the deviation of the bells that nodes are shown as.
    private const double Margin = 0.05;
    private const double Deviation = 0.005;

    /// <summary>The trace: the mean of vᵀHv.</summary>
    public double Trace => Traces.Average();

    /// <summary>The standard error of <see cref="Trace"/>; not a number for a single vector.</summary>
    public double TraceError => Traces.Length < 2 ? double.NaN
        : Math.Sqrt(Traces.Sum(own => (own - Trace) * (own - Trace)) / (Traces.Length - 1) / Traces.Length);

    // The deviation of the normal densities that the curve has in place of nodes.
    private double Width => Deviation * (Last - First);

    private double[] Traces =>
        [.. Probes.Select(nodes => Dimension * nodes.Sum(static node => node.Weight * node.Value))];

    private double First => Probes.Min(static nodes => nodes.Min(static node => node.Value));

    private double Last => Probes.Max(static nodes => nodes.Max(static node => node.Value));

    /// <summary>The density of eigenvalues, whose integral is 1, at points over their range and a little more.</summary>
    public IReadOnlyList<(double Eigenvalue, double Density)> Curve(int points)
    {
        double margin = Margin * (Last - First);
        (double low, double high) = (First - margin, Last + margin);
        return [.. Enumerable.Range(0, points).Select(i => low + (i * (high - low) / (points - 1))).Select(at => (at, At(at)))];
    }

    private double At(double value)
    {
        double width = Width;
        return Probes.Average(nodes => nodes.Sum(node => node.Weight * Bell((value - node.Value) / width))) / width;

        static double Bell(double x) => Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);
    }
}
