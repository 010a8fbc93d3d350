using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>
/// A <see cref="LayerNorm"/> of dual numbers. With x̂ = s·(x − mean) and s the inverse deviation, x̂′ = s·(x′ − mean(x′) −
/// x̂·mean(x̂·x′)) and s′ = −s²·mean(x̂·x′).
/// </summary>
internal sealed class DualLayerNorm
{
    private readonly DualParameter _gain;
    private readonly DualParameter _bias;
    private readonly int _width;
    private readonly DualArray _normalised;
    private readonly DualArray _inverseDeviation; // of each row
    private readonly DualArray _scaled;
    private readonly float[] _term;

    /// <param name="gain">The gain and its gradient.</param>
    /// <param name="bias">The bias and its gradient.</param>
    /// <param name="maximumRows">The most rows of one call.</param>
    public DualLayerNorm(DualParameter gain, DualParameter bias, int maximumRows)
    {
        (_gain, _bias, _width) = (gain, bias, gain.Shape[0]);
        _normalised = new DualArray(maximumRows * _width);
        _inverseDeviation = new DualArray(maximumRows);
        _scaled = new DualArray(_width);
        _term = new float[_width];
    }

    /// <summary>Computes y and keeps what <see cref="Backward"/> needs.</summary>
    public void Forward(DualArray x, DualArray y, int rows)
    {
        for (int row = 0; row < rows; row++)
        {
            Range span = (row * _width)..((row + 1) * _width);
            Span<float> value = _normalised.Value.AsSpan(span);
            Span<float> tangent = _normalised.Tangent.AsSpan(span);
            TensorPrimitives.Subtract(x.Value.AsSpan(span), Mean(x.Value.AsSpan(span)), value);
            float s = 1 / MathF.Sqrt((TensorPrimitives.Dot<float>(value, value) / _width) + LayerNorm.Epsilon);
            TensorPrimitives.Multiply(value, s, value);

            TensorPrimitives.Subtract(x.Tangent.AsSpan(span), Mean(x.Tangent.AsSpan(span)), tangent);
            float slope = TensorPrimitives.Dot<float>(value, x.Tangent.AsSpan(span)) / _width;
            TensorPrimitives.MultiplyAdd(value, -slope, tangent, tangent);
            TensorPrimitives.Multiply(tangent, s, tangent);
            _inverseDeviation.Value[row] = s;
            _inverseDeviation.Tangent[row] = -s * s * slope;

            TensorPrimitives.MultiplyAdd(value, _gain.Data.Value, _bias.Data.Value, y.Value.AsSpan(span));
            TensorPrimitives.MultiplyAdd(tangent, _gain.Data.Value, _bias.Data.Tangent, y.Tangent.AsSpan(span));
            AddProduct(value, _gain.Data.Tangent, y.Tangent.AsSpan(span));
        }
    }

    /// <summary>Computes the gradients of gain and bias and ADDS that of the input to <paramref name="dx"/>, where the gradient of
    /// the residual path already is.</summary>
    public void Backward(DualArray dy, DualArray dx, int rows)
    {
        _gain.Gradient.Clear(_width);
        _bias.Gradient.Clear(_width);
        for (int row = 0; row < rows; row++)
        {
            Range span = (row * _width)..((row + 1) * _width);
            BackwardRow(
                _normalised.Value.AsSpan(span), _normalised.Tangent.AsSpan(span), dy.Value.AsSpan(span), dy.Tangent.AsSpan(span), row,
                dx.Value.AsSpan(span), dx.Tangent.AsSpan(span));
        }
    }

    // dx += s·r with r = a − mean(a) − x̂·mean(a·x̂) and a = dy·gain, and dx′ += s′·r + s·r′.
    private void BackwardRow(
        Span<float> value, Span<float> tangent, Span<float> dy, Span<float> dyTangent, int row, Span<float> dx, Span<float> dxTangent)
    {
        (float s, float sTangent) = (_inverseDeviation.Value[row], _inverseDeviation.Tangent[row]);
        Span<float> a = _scaled.Value;
        Span<float> aTangent = _scaled.Tangent;
        TensorPrimitives.Multiply(dy, _gain.Data.Value, a);
        TensorPrimitives.Multiply(dyTangent, _gain.Data.Value, aTangent);
        AddProduct(dy, _gain.Data.Tangent, aTangent);
        float slope = TensorPrimitives.Dot<float>(a, value) / _width;
        float slopeTangent =
            (TensorPrimitives.Dot<float>(aTangent, value) + TensorPrimitives.Dot<float>(a, tangent)) / _width;

        TensorPrimitives.Subtract(a, Mean(a), a);
        TensorPrimitives.MultiplyAdd(value, -slope, a, a);
        TensorPrimitives.Subtract(aTangent, Mean(aTangent), aTangent);
        TensorPrimitives.MultiplyAdd(tangent, -slope, aTangent, aTangent);
        TensorPrimitives.MultiplyAdd(value, -slopeTangent, aTangent, aTangent);
        TensorPrimitives.MultiplyAdd(a, s, dx, dx);
        TensorPrimitives.MultiplyAdd(aTangent, s, dxTangent, dxTangent);
        TensorPrimitives.MultiplyAdd(a, sTangent, dxTangent, dxTangent);

        AddProduct(dy, value, _gain.Gradient.Value);
        AddProduct(dyTangent, value, _gain.Gradient.Tangent);
        AddProduct(dy, tangent, _gain.Gradient.Tangent);
        TensorPrimitives.Add(_bias.Gradient.Value, dy, _bias.Gradient.Value);
        TensorPrimitives.Add(_bias.Gradient.Tangent, dyTangent, _bias.Gradient.Tangent);
    }

    private float Mean(ReadOnlySpan<float> x) => TensorPrimitives.Sum(x) / _width;

    /// <summary>sum += x·y, element by element.</summary>
    private void AddProduct(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> sum)
    {
        TensorPrimitives.Multiply(x, y, _term);
        TensorPrimitives.Add(sum, _term, sum);
    }
}
