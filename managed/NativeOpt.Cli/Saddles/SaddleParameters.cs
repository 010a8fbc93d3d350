namespace NativeOpt.Cli.Saddles;

/// <summary>
/// A problem's parameters as an optimizer sees them: float32 tensors. On a GPU there is a copy of them, since the problem
/// is computed on the CPU.
/// </summary>
internal sealed class SaddleParameters : IDisposable
{
    private readonly SaddleProblem _problem;
    private readonly double[] _point;
    private readonly double[] _gradient;
    private readonly double[] _unused;
    private readonly float[][] _values;
    private readonly float[][] _gradients;
    private readonly DeviceBuffer<float>[] _deviceValues = [];
    private readonly DeviceBuffer<float>[] _deviceGradients = [];

    public SaddleParameters(SaddleProblem problem, ReadOnlySpan<double> start, Device device)
    {
        _problem = problem;
        _point = new double[problem.Dimension];
        _gradient = new double[problem.Dimension];
        _unused = new double[problem.Dimension];
        _values = Split(start);
        _gradients = [.. problem.TensorSizes.Select(static size => new float[size])];
        if (device.Backend == Backend.Cpu)
        {
            Set = ParameterSet.FromArrays(_values, _gradients);
            return;
        }

        _deviceValues = [.. _values.Select(values => new DeviceBuffer<float>(device, values.Length))];
        _deviceGradients = [.. _gradients.Select(gradients => new DeviceBuffer<float>(device, gradients.Length))];
        for (int i = 0; i < _values.Length; i++)
        {
            _deviceValues[i].CopyFrom(_values[i]);
        }

        Set = ParameterSet.FromBuffers(_deviceValues, _deviceGradients);
    }

    /// <summary>What the optimizer is made for.</summary>
    public ParameterSet Set { get; }

    /// <summary>The parameters that were evaluated last.</summary>
    public ReadOnlySpan<double> Point => _point;

    /// <summary>The gradient there, before it was rounded.</summary>
    public ReadOnlySpan<double> Gradient => _gradient;

    public double GradientNorm => Math.Sqrt(Dense.Dot(_gradient, _gradient));

    /// <summary>The loss elsewhere; parameters and gradient stay.</summary>
    public double LossAt(ReadOnlySpan<double> point) => _problem.Evaluate(point, _unused);

    /// <summary>Writes the parameters; the gradient stays.</summary>
    public void Write(ReadOnlySpan<double> point)
    {
        float[][] tensors = Split(point);
        for (int i = 0; i < tensors.Length; i++)
        {
            tensors[i].CopyTo(_values[i], 0);
            if (_deviceValues.Length > 0)
            {
                _deviceValues[i].CopyFrom(_values[i]);
            }
        }
    }

    /// <summary>A vector over all parameters, tensor by tensor and rounded.</summary>
    public float[][] Split(ReadOnlySpan<double> vector)
    {
        float[][] tensors = new float[_problem.TensorSizes.Count][];
        int offset = 0;
        for (int i = 0; i < tensors.Length; i++)
        {
            tensors[i] = new float[_problem.TensorSizes[i]];
            for (int j = 0; j < tensors[i].Length; j++)
            {
                tensors[i][j] = (float)vector[offset++];
            }
        }

        return tensors;
    }

    /// <summary>Computes the loss, and the gradient for the optimizer.</summary>
    public double Evaluate()
    {
        int offset = 0;
        foreach (float[] values in _values)
        {
            foreach (float value in values)
            {
                _point[offset++] = value;
            }
        }

        double loss = _problem.Evaluate(_point, _gradient);
        offset = 0;
        for (int i = 0; i < _gradients.Length; i++)
        {
            for (int j = 0; j < _gradients[i].Length; j++)
            {
                _gradients[i][j] = (float)_gradient[offset++];
            }

            if (_deviceGradients.Length > 0)
            {
                _deviceGradients[i].CopyFrom(_gradients[i]);
            }
        }

        return loss;
    }

    /// <summary>To be called when the optimizer has changed the parameters.</summary>
    public void ReadBack()
    {
        for (int i = 0; i < _deviceValues.Length; i++)
        {
            _deviceValues[i].CopyTo(_values[i]);
        }
    }

    public void Dispose()
    {
        Set.Dispose();
        foreach (DeviceBuffer<float> buffer in _deviceValues.Concat(_deviceGradients))
        {
            buffer.Dispose();
        }
    }
}
