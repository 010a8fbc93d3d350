using System.Numerics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>
/// GELU of dual numbers, in the tanh approximation of <see cref="VectorMath.Gelu"/>: y = x·σ with σ = 1/(1 + e^(−2u)) and
/// u = √(2/π)(x + 0.044715 x³). With σ′ = 2σ(1−σ)u′, y′ = σ + xσ′ and y″ = 2σ′ + xσ″.
/// </summary>
internal static class DualGelu
{
    /// <summary>y = gelu(x) for the first <paramref name="count"/> elements.</summary>
    public static void Forward(DualArray x, DualArray y, int count)
    {
        for (int i = 0; i < count; i += Vector<float>.Count)
        {
            (Vector<float> gate, Vector<float> slope, _) = At(Load(x.Value, i, count));
            Store(Load(x.Value, i, count) * gate, y.Value, i, count);
            Store(Load(x.Tangent, i, count) * slope, y.Tangent, i, count);
        }
    }

    /// <summary>Turns dy into dx, in place, for y = gelu(x).</summary>
    public static void Backward(DualArray x, DualArray dy, int count)
    {
        for (int i = 0; i < count; i += Vector<float>.Count)
        {
            (_, Vector<float> slope, Vector<float> curvature) = At(Load(x.Value, i, count));
            Vector<float> gradient = Load(dy.Value, i, count);
            Vector<float> tangent = (Load(dy.Tangent, i, count) * slope) + (gradient * curvature * Load(x.Tangent, i, count));
            Store(gradient * slope, dy.Value, i, count);
            Store(tangent, dy.Tangent, i, count);
        }
    }

    private static (Vector<float> Gate, Vector<float> Slope, Vector<float> Curvature) At(Vector<float> x)
    {
        Vector<float> one = Vector<float>.One;
        Vector<float> u = VectorMath.GeluScale * x * (one + (VectorMath.GeluCubic * x * x));
        Vector<float> gate = one / (one + Vector.Exp(-2f * u));
        Vector<float> slopeOfU = VectorMath.GeluScale * (one + (3 * VectorMath.GeluCubic * x * x));
        Vector<float> curvatureOfU = 6 * VectorMath.GeluScale * VectorMath.GeluCubic * x;
        Vector<float> both = 2f * gate * (one - gate);
        Vector<float> slopeOfGate = both * slopeOfU;
        Vector<float> curvatureOfGate = (2f * slopeOfU * (one - (2f * gate)) * slopeOfGate) + (both * curvatureOfU);
        return (gate, gate + (x * slopeOfGate), (2f * slopeOfGate) + (x * curvatureOfGate));
    }

    // The last vector may be shorter than the others.
    private static Vector<float> Load(float[] from, int at, int count)
    {
        if (count - at >= Vector<float>.Count)
        {
            return new Vector<float>(from, at);
        }

        Span<float> rest = stackalloc float[Vector<float>.Count];
        from.AsSpan(at..count).CopyTo(rest);
        return new Vector<float>(rest);
    }

    private static void Store(Vector<float> value, float[] to, int at, int count)
    {
        if (count - at >= Vector<float>.Count)
        {
            value.CopyTo(to, at);
            return;
        }

        for (int i = at; i < count; i++)
        {
            to[i] = value[i - at];
        }
    }
}
