using System.Numerics;

namespace NativeOpt.Cli.Training;

/// <summary>Layer normalisation: each row is brought to mean 0 and variance 1, then scaled and shifted.</summary>
internal sealed class LayerNorm
{
    /// <summary>What is added to the variance.</summary>
    public const float Epsilon = 1e-5f;

    private const int RowGrain = 32;

    private readonly ParallelLoop _loop;
    private readonly GptParameter _gain;
    private readonly GptParameter _bias;
    private readonly int _width;
    private readonly float[] _mean;
    private readonly float[] _inverseDeviation;
    private readonly float[] _gainSlices;
    private readonly float[] _biasSlices;
    private readonly RangeBody _forwardRows;
    private readonly RangeBody _backwardRows;
    private float[] _x = [];
    private float[] _y = [];
    private float[] _dy = [];
    private float[] _dx = [];

    /// <summary>Creates a layer over parameters that the model owns.</summary>
    public LayerNorm(ParallelLoop loop, GptParameter gain, GptParameter bias, int maximumRows)
    {
        (_loop, _gain, _bias, _width) = (loop, gain, bias, gain.Value.Length);
        _mean = new float[maximumRows];
        _inverseDeviation = new float[maximumRows];
        int slices = (maximumRows + RowGrain - 1) / RowGrain;
        _gainSlices = new float[slices * _width];
        _biasSlices = new float[slices * _width];
        (_forwardRows, _backwardRows) = (ForwardRows, BackwardRows);
    }

    /// <summary>Computes y and keeps the statistics of each row for <see cref="Backward"/>.</summary>
    public void Forward(float[] x, float[] y, int rows)
    {
        (_x, _y) = (x, y);
        _loop.Run(rows, RowGrain, _forwardRows);
    }

    /// <summary>Computes the gradients of gain and bias and ADDS that of the input to <paramref name="dx"/>, where the
    /// gradient of the residual path already is.</summary>
    public void Backward(float[] x, float[] dy, float[] dx, int rows)
    {
        (_x, _dy, _dx) = (x, dy, dx);
        _loop.Run(rows, RowGrain, _backwardRows);
        int slices = (rows + RowGrain - 1) / RowGrain;
        Elementwise.AddSlices(_gainSlices, slices, _gain.Gradient);
        Elementwise.AddSlices(_biasSlices, slices, _bias.Gradient);
    }

    private void ForwardRows(int begin, int end, int worker)
    {
        ReadOnlySpan<float> gain = _gain.Value;
        ReadOnlySpan<float> bias = _bias.Value;
        for (int row = begin; row < end; row++)
        {
            ReadOnlySpan<float> x = _x.AsSpan(row * _width, _width);
            Span<float> y = _y.AsSpan(row * _width, _width);

            // Two passes: the variance of what is left after subtracting the mean loses no digits.
            float mean = VectorMath.Sum(x) / _width;
            Affine(x, 1, -mean, y);
            float inverseDeviation = 1 / MathF.Sqrt((VectorMath.Dot(y, y) / _width) + Epsilon);
            _mean[row] = mean;
            _inverseDeviation[row] = inverseDeviation;

            int i = 0;
            for (; i <= _width - Vector<float>.Count; i += Vector<float>.Count)
            {
                var normalised = new Vector<float>(y[i..]) * inverseDeviation;
                ((normalised * new Vector<float>(gain[i..])) + new Vector<float>(bias[i..])).CopyTo(y[i..]);
            }

            for (; i < _width; i++)
            {
                y[i] = (y[i] * inverseDeviation * gain[i]) + bias[i];
            }
        }
    }

    // With x̂ = s·(x − mean) and s the inverse deviation:
    // dx += s·(dy·gain − mean(dy·gain) − x̂·mean(dy·gain·x̂)); dgain = Σ dy·x̂ and dbias = Σ dy over the rows.
    private void BackwardRows(int begin, int end, int worker)
    {
        Span<float> normalised = stackalloc float[_width];
        Span<float> scaled = stackalloc float[_width];
        ReadOnlySpan<float> gain = _gain.Value;
        Span<float> dGain = _gainSlices.AsSpan(begin / RowGrain * _width, _width);
        Span<float> dBias = _biasSlices.AsSpan(begin / RowGrain * _width, _width);
        dGain.Clear();
        dBias.Clear();
        for (int row = begin; row < end; row++)
        {
            ReadOnlySpan<float> dy = _dy.AsSpan(row * _width, _width);
            Span<float> dx = _dx.AsSpan(row * _width, _width);
            float s = _inverseDeviation[row];
            Affine(_x.AsSpan(row * _width, _width), s, -_mean[row] * s, normalised);
            Multiply(dy, gain, scaled);
            float mean = VectorMath.Sum(scaled) / _width;
            float slope = VectorMath.Dot(scaled, normalised) / _width;

            int i = 0;
            for (; i <= _width - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> rest = new Vector<float>(scaled[i..]) - new Vector<float>(mean)
                    - (new Vector<float>(normalised[i..]) * slope);
                (new Vector<float>(dx[i..]) + (rest * s)).CopyTo(dx[i..]);
            }

            for (; i < _width; i++)
            {
                dx[i] += (scaled[i] - mean - (normalised[i] * slope)) * s;
            }

            Multiply(dy, normalised, normalised);
            VectorMath.Add(dGain, normalised, dGain);
            VectorMath.Add(dBias, dy, dBias);
        }
    }

    /// <summary>y = factor · x + offset.</summary>
    private static void Affine(ReadOnlySpan<float> x, float factor, float offset, Span<float> y)
    {
        var vectorFactor = new Vector<float>(factor);
        var vectorOffset = new Vector<float>(offset);
        int i = 0;
        for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            ((new Vector<float>(x[i..]) * vectorFactor) + vectorOffset).CopyTo(y[i..]);
        }

        for (; i < y.Length; i++)
        {
            y[i] = (x[i] * factor) + offset;
        }
    }

    private static void Multiply(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> product)
    {
        int i = 0;
        for (; i <= product.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            (new Vector<float>(x[i..]) * new Vector<float>(y[i..])).CopyTo(product[i..]);
        }

        for (; i < product.Length; i++)
        {
            product[i] = x[i] * y[i];
        }
    }
}
