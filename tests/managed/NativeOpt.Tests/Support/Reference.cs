namespace NativeOpt.Tests.Support;

internal enum ReferenceRule
{
    Adam,
    InvAdam,
    DualAdam,
    Sgd,
}

/// <summary>
/// The update rules as the papers print them, in double, one element at a time; written from the papers and torch's
/// documentation, not from the library's sources.
/// </summary>
internal sealed record Reference
{
    public ReferenceRule Rule { get; init; }

    public double LearningRate { get; init; }

    public double Beta1 { get; init; }

    public double Beta2 { get; init; }

    public double Epsilon { get; init; }

    public double WeightDecay { get; init; }

    public double Momentum { get; init; }

    public double SwitchingRate { get; init; }

    public bool Amsgrad { get; init; }

    public bool Maximize { get; init; }

    public bool Decoupled { get; init; }

    public bool Nesterov { get; init; }

    public bool InverseEpsilon { get; init; }

    /// <summary>Updates one element at step t, counted from 1.</summary>
    public void Step(Element e, double gradient, long t)
    {
        double g = Maximize ? -gradient : gradient;
        if (Decoupled)
        {
            e.Theta *= 1 - (LearningRate * WeightDecay);
        }
        else
        {
            g += WeightDecay * e.Theta;
        }

        e.Theta -= LearningRate * (Rule == ReferenceRule.Sgd ? SgdDirection(e, g) : MomentDirection(e, g, t));
    }

    private double SgdDirection(Element e, double g)
    {
        if (Momentum == 0)
        {
            return g;
        }

        e.Buffer = (Momentum * e.Buffer) + g;
        return Nesterov ? g + (Momentum * e.Buffer) : e.Buffer;
    }

    private double MomentDirection(Element e, double g, long t)
    {
        e.M = (Beta1 * e.M) + ((1 - Beta1) * g);
        e.V = (Beta2 * e.V) + ((1 - Beta2) * g * g);
        e.VMax = Math.Max(e.VMax, e.V);
        double m = e.M / (1 - Math.Pow(Beta1, t));
        double root = Math.Sqrt((Amsgrad ? e.VMax : e.V) / (1 - Math.Pow(Beta2, t)));
        double adaptive = m / (root + Epsilon);
        double inverse = m * (InverseEpsilon ? root + Epsilon : root);
        double a = Rule switch
        {
            ReferenceRule.Adam => 0,
            ReferenceRule.InvAdam => 1,
            _ => Math.Max(0, 1 - (SwitchingRate * t)),
        };
        return (a * inverse) + ((1 - a) * adaptive);
    }

    /// <summary>A parameter and its state.</summary>
    internal sealed class Element
    {
        public double Theta { get; set; }

        public double M { get; set; }

        public double V { get; set; }

        public double VMax { get; set; }

        public double Buffer { get; set; }
    }
}
