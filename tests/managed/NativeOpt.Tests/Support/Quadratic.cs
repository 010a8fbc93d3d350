namespace NativeOpt.Tests.Support;

/// <summary>
/// The loss ½xᵀHx − bᵀx over all parameters of a model, computed in double at the parameters as they are. Its gradient is
/// linear, so that the difference of two gradients is H times their distance, however large that is.
/// </summary>
internal sealed class Quadratic
{
    private readonly Model _model;
    private readonly double[,] _hessian;
    private readonly double[] _slope;
    private readonly double[] _x;
    private readonly double[] _gradient;

    /// <param name="model">Where the parameters are, and the gradients go.</param>
    /// <param name="eigenvalues">Of H, as many as the model has elements.</param>
    /// <param name="couplesTensors">Whether H has entries between elements of different tensors.</param>
    public Quadratic(Model model, IReadOnlyList<double> eigenvalues, bool couplesTensors = true)
    {
        _model = model;
        _hessian = new double[eigenvalues.Count, eigenvalues.Count];
        for (int i = 0; i < eigenvalues.Count; i++)
        {
            _hessian[i, i] = eigenvalues[i];
        }

        IEnumerable<int> blocks = couplesTensors ? [eigenvalues.Count] : model.Parameters.Select(values => values.Length);
        int begin = 0;
        foreach (int size in blocks)
        {
            // Two reflections leave the eigenvalues, and no element alone.
            Reflect(begin, Model.Values(size, seed: 31 + begin));
            Reflect(begin, Model.Values(size, seed: 57 + begin));
            begin += size;
        }

        _slope = [.. Model.Values(eigenvalues.Count, seed: 5, scale: 0.3)];
        _x = new double[eigenvalues.Count];
        _gradient = new double[eigenvalues.Count];
        Closure = Evaluate;
    }

    /// <summary>Writes the model's gradients and returns the loss; always the same delegate.</summary>
    public Func<float> Closure { get; }

    /// <summary>How often the closure was called.</summary>
    public int Evaluations { get; private set; }

    /// <summary>Numbers from the first to the last, in equal steps.</summary>
    public static double[] Spread(int count, double first, double last) =>
        [.. Enumerable.Range(0, count).Select(i => first + ((last - first) * i / Math.Max(1, count - 1)))];

    /// <summary>The gradient at any point, in double.</summary>
    public double[] Gradient(double[] x)
    {
        double[] gradient = new double[x.Length];
        Gradient(x, gradient);
        return gradient;
    }

    /// <summary>dᵀHd / dᵀd, the curvature along a direction.</summary>
    public double Curvature(IReadOnlyList<double> direction)
    {
        double curvature = 0;
        for (int i = 0; i < direction.Count; i++)
        {
            for (int j = 0; j < direction.Count; j++)
            {
                curvature += direction[i] * _hessian[i, j] * direction[j];
            }
        }

        return curvature / direction.Sum(static d => d * d);
    }

    private float Evaluate()
    {
        Evaluations++;
        int at = 0;
        foreach (float[] values in _model.Parameters)
        {
            foreach (float value in values)
            {
                _x[at++] = value;
            }
        }

        Gradient(_x, _gradient);
        double loss = 0;
        at = 0;
        foreach (float[] gradient in _model.Gradients)
        {
            for (int i = 0; i < gradient.Length; i++, at++)
            {
                gradient[i] = (float)_gradient[at];
                loss += 0.5 * (_gradient[at] - _slope[at]) * _x[at];
            }
        }

        return (float)loss;
    }

    private void Gradient(double[] x, double[] gradient)
    {
        for (int i = 0; i < x.Length; i++)
        {
            gradient[i] = -_slope[i];
            for (int j = 0; j < x.Length; j++)
            {
                gradient[i] += _hessian[i, j] * x[j];
            }
        }
    }

    /// <summary>H ← PHP with P = I − 2vvᵀ/vᵀv, on the elements from <paramref name="begin"/> on.</summary>
    private void Reflect(int begin, float[] v)
    {
        double square = v.Sum(static x => (double)x * x);
        int count = _hessian.GetLength(0);
        for (int line = 0; line < 2 * count; line++)
        {
            // First all columns, then all rows.
            double along = 0;
            for (int i = 0; i < v.Length; i++)
            {
                along += v[i] * At(line, begin + i);
            }

            for (int i = 0; i < v.Length; i++)
            {
                At(line, begin + i) -= 2 * along / square * v[i];
            }
        }

        ref double At(int line, int i) => ref line < count ? ref _hessian[i, line] : ref _hessian[line - count, i];
    }
}
