namespace NativeOpt.Tests.Support;

/// <summary>
/// The dimer as the papers print it, in double: displaces, takes the difference of the two gradients, turns, corrects, and
/// lets the rule step. Every quantity is computed where it is used, from whole vectors.
/// </summary>
internal sealed class DimerReference
{
    private readonly Reference _rule;
    private readonly Reference.Element[] _elements;
    private readonly Func<double[], double[]> _gradient;
    private readonly Range[] _scopes;

    // Of conjugate directions: the way of each scope's last turn, a tangent of length 1, and how much of it is taken.
    private readonly double[] _take;
    private double[]? _way;
    private long _steps;

    /// <param name="rule">The rule around which it is.</param>
    /// <param name="options">The options, with a displacement.</param>
    /// <param name="gradient">The loss's gradient.</param>
    /// <param name="tensors">The tensors' first parameters.</param>
    /// <param name="direction">The first direction, of length 1 in each scope.</param>
    public DimerReference(
        Reference rule,
        DimerOptions options,
        Func<double[], double[]> gradient,
        IReadOnlyList<float[]> tensors,
        IEnumerable<float[]> direction)
    {
        _rule = rule;
        Options = options;
        _gradient = gradient;
        _elements = [.. tensors.SelectMany(values => values).Select(value => new Reference.Element { Theta = value })];
        Direction = [.. direction.SelectMany(values => values)];
        int end = 0;
        _scopes = options.Scope == DimerScope.Global
            ? [0.._elements.Length]
            : [.. tensors.Select(values => end..(end += values.Length))];
        Curvature = [.. _scopes.Select(_ => double.NaN)];
        GradientDotDirection = new double[_scopes.Length];
        Angle = new double[_scopes.Length];
        _take = new double[_scopes.Length];
    }

    public DimerOptions Options { get; set; }

    public double[] Parameters => [.. _elements.Select(element => element.Theta)];

    public double[] Direction { get; private set; }

    /// <summary>Of each scope, as is what follows.</summary>
    public double[] Curvature { get; }

    public double[] GradientDotDirection { get; }

    public double[] Angle { get; }

    public void Step()
    {
        double[] theta = Parameters;
        double[] g = _gradient(theta);
        if (_steps % Options.Interval == 0)
        {
            for (int rotation = 0; rotation < Options.RotationsPerUpdate; rotation++)
            {
                Rotate(theta, g);
            }
        }

        double[] corrected = [.. g];
        for (int scope = 0; scope < _scopes.Length; scope++)
        {
            double p = Dot(scope, g, Direction);
            double factor = Options.Correction == DimerCorrection.Published ? -Options.Alpha
                : Curvature[scope] < 0 ? Options.Alpha : 0;
            foreach (int i in Indices(scope))
            {
                corrected[i] += factor * p * Direction[i];
            }

            GradientDotDirection[scope] = p;
        }

        _steps++;
        for (int i = 0; i < _elements.Length; i++)
        {
            _rule.Step(_elements[i], corrected[i], _steps);
        }
    }

    private void Rotate(double[] theta, double[] g)
    {
        double[] before = Direction;
        double[] along = Difference(theta, g, before);
        double[] force = [.. along];
        for (int scope = 0; scope < _scopes.Length; scope++)
        {
            double a = Dot(scope, along, before);
            Curvature[scope] = a / Options.Displacement!.Value;
            double noise = 1e-12 * Dot(scope, along, along);
            foreach (int i in Indices(scope))
            {
                force[i] -= a * before[i];
            }

            // An eigenvector but for roundings: there is nothing to turn to.
            double factor = Dot(scope, force, force) > noise ? 1 : 0;
            foreach (int i in Indices(scope))
            {
                force[i] *= factor;
            }
        }

        if (Options.Angle == RotationAngle.Conjugate)
        {
            Conjugate(force);
        }

        Direction = Options.Angle == RotationAngle.FixedRate ? Turned(force) : Best(theta, g, along, force);
        for (int scope = 0; scope < _scopes.Length; scope++)
        {
            Normalize(scope, Direction);
            Angle[scope] = Math.Acos(Math.Min(1, Dot(scope, before, Direction)));
        }
    }

    private double[] Turned(double[] force)
    {
        double rate = Options.Rotation == DimerRotation.MinimumCurvature ? -Options.RotationRate : Options.RotationRate;
        double divisor = Options.Force == DimerForce.PerDisplacement ? Options.Displacement!.Value : 1;
        return [.. Direction.Zip(force, (n, f) => n + (rate * f / divisor))];
    }

    /// <summary>Makes forces search directions: adds of the last turn's way what makes both conjugate, if that leads along the force.</summary>
    private void Conjugate(double[] force)
    {
        if (_way is null)
        {
            return;
        }

        for (int scope = 0; scope < _scopes.Length; scope++)
        {
            double part = Dot(scope, _way, Direction);
            double[] way = [.. _way.Zip(Direction, (w, n) => w - (part * n))];
            Normalize(scope, way);
            double[] search = [.. force.Zip(way, (f, w) => f + (_take[scope] * w))];
            if (double.IsFinite(_take[scope]) && Dot(scope, force, force) > 0 && Dot(scope, search, force) > 0)
            {
                foreach (int i in Indices(scope))
                {
                    force[i] = search[i];
                }
            }
        }
    }

    /// <summary>The eigenvector of the curvature in the plane of direction and force, from a second measurement along the latter.</summary>
    private double[] Best(double[] theta, double[] g, double[] along, double[] force)
    {
        for (int scope = 0; scope < _scopes.Length; scope++)
        {
            Normalize(scope, force);
        }

        double[] across = Difference(theta, g, force);
        double[] best = [.. Direction];
        double[] turnedWay = new double[best.Length];
        for (int scope = 0; scope < _scopes.Length; scope++)
        {
            double a = Dot(scope, along, Direction);
            if (Dot(scope, force, force) == 0)
            {
                // Of one element there is nothing to turn.
                Curvature[scope] = a / Options.Displacement!.Value;
                continue;
            }

            double b = Dot(scope, across, force);
            double mixed = (Dot(scope, along, force) + Dot(scope, across, Direction)) / 2;

            // Of the largest curvature; the smallest is at a right angle. The sign that is nearer to what was.
            double angle = Math.Atan2(2 * mixed, a - b) / 2;
            angle += Options.Rotation == DimerRotation.MinimumCurvature ? Math.PI / 2 : 0;
            (double sine, double cosine) = Math.SinCos(angle);
            double sign = cosine < 0 ? -1 : 1;
            foreach (int i in Indices(scope))
            {
                best[i] = sign * ((cosine * Direction[i]) + (sine * force[i]));
                turnedWay[i] = sign * ((cosine * force[i]) - (sine * Direction[i]));
            }

            // (force + take way) . (H - C) way = 0 with the force on the new direction.
            double[] change = [.. along.Zip(across, (n, t) => sign * ((cosine * n) + (sine * t)))];
            double[] changeOfWay = [.. along.Zip(across, (n, t) => sign * ((cosine * t) - (sine * n)))];
            double slope = Dot(scope, change, best);
            double[] forceOnNew = [.. change.Zip(best, (d, n) => d - (slope * n))];
            _take[scope] = -Dot(scope, forceOnNew, changeOfWay) / (Dot(scope, turnedWay, changeOfWay) - slope);

            Curvature[scope] = ((cosine * cosine * a) + (2 * sine * cosine * mixed) + (sine * sine * b))
                / Options.Displacement!.Value;
        }

        _way = turnedWay;
        return best;
    }

    /// <summary>By how much the gradient of what is minimized differs at displaced parameters.</summary>
    private double[] Difference(double[] theta, double[] g, double[] direction)
    {
        double[] displaced = _gradient([.. theta.Zip(direction, (x, n) => x + (Options.Displacement!.Value * n))]);
        return [.. displaced.Zip(g, (g2, g1) => _rule.Maximize ? g1 - g2 : g2 - g1)];
    }

    private void Normalize(int scope, double[] vector)
    {
        double length = Math.Sqrt(Dot(scope, vector, vector));
        if (length == 0)
        {
            return;
        }

        foreach (int i in Indices(scope))
        {
            vector[i] /= length;
        }
    }

    private double Dot(int scope, double[] a, double[] b) => Indices(scope).Sum(i => a[i] * b[i]);

    private IEnumerable<int> Indices(int scope)
    {
        (int begin, int count) = _scopes[scope].GetOffsetAndLength(_elements.Length);
        return Enumerable.Range(begin, count);
    }
}
