using System.Numerics;

namespace NativeOpt.Cli.Training;

/// <summary>
/// Vectorised loops over spans. What remains after the last whole vector goes through the same vector function, one
/// number at a time, so an element's result does not depend on where it stands.
/// </summary>
internal static class VectorMath
{
    /// <summary>The factors of u in <see cref="Gelu"/>: √(2/π), and that of x³.</summary>
    public const float GeluScale = 0.7978845608028654f, GeluCubic = 0.044715f;

    private static int Width => Vector<float>.Count;

    /// <summary>The sum of all elements.</summary>
    public static float Sum(ReadOnlySpan<float> x)
    {
        Vector<float> lanes = Vector<float>.Zero;
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            lanes += new Vector<float>(x[i..]);
        }

        float sum = Vector.Sum(lanes);
        for (; i < x.Length; i++)
        {
            sum += x[i];
        }

        return sum;
    }

    /// <summary>The sum of the products of two spans.</summary>
    public static float Dot(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
    {
        Vector<float> lanes = Vector<float>.Zero;
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            lanes = Vector.FusedMultiplyAdd(new Vector<float>(x[i..]), new Vector<float>(y[i..]), lanes);
        }

        float sum = Vector.Sum(lanes);
        for (; i < x.Length; i++)
        {
            sum += x[i] * y[i];
        }

        return sum;
    }

    /// <summary>sum = x + y.</summary>
    public static void Add(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> sum)
    {
        int i = 0;
        for (; i <= sum.Length - Width; i += Width)
        {
            (new Vector<float>(x[i..]) + new Vector<float>(y[i..])).CopyTo(sum[i..]);
        }

        for (; i < sum.Length; i++)
        {
            sum[i] = x[i] + y[i];
        }
    }

    /// <summary>Replaces x by softmax(scale · x) and returns the logarithm of the normaliser, log Σ exp(scale · x).
    /// </summary>
    public static float Softmax(Span<float> x, float scale)
    {
        // Less the largest value, exp cannot overflow; the quotient is the same.
        float largest = Largest(x);
        var vectorScale = new Vector<float>(scale);
        var vectorLargest = new Vector<float>(largest);
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            Vector.Exp((new Vector<float>(x[i..]) - vectorLargest) * vectorScale).CopyTo(x[i..]);
        }

        for (; i < x.Length; i++)
        {
            x[i] = Vector.Exp((new Vector<float>(x[i]) - vectorLargest) * vectorScale)[0];
        }

        float sum = Sum(x);
        Scale(x, 1 / sum);
        return (scale * largest) + MathF.Log(sum);
    }

    /// <summary>The largest element of a span that is not empty.</summary>
    public static float Largest(ReadOnlySpan<float> x)
    {
        var lanes = new Vector<float>(x[0]);
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            lanes = Vector.Max(lanes, new Vector<float>(x[i..]));
        }

        float largest = x[0];
        for (int lane = 0; lane < Width; lane++)
        {
            largest = MathF.Max(largest, lanes[lane]);
        }

        for (; i < x.Length; i++)
        {
            largest = MathF.Max(largest, x[i]);
        }

        return largest;
    }

    /// <summary>x = factor · x.</summary>
    public static void Scale(Span<float> x, float factor)
    {
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            (new Vector<float>(x[i..]) * factor).CopyTo(x[i..]);
        }

        for (; i < x.Length; i++)
        {
            x[i] *= factor;
        }
    }

    /// <summary>The gradient of softmax(scale · x), in place: dx = scale · p · (dp − Σ p·dp), with p the
    /// probabilities.</summary>
    public static void SoftmaxGradient(ReadOnlySpan<float> p, Span<float> dp, float scale)
    {
        float mean = Dot(p, dp);
        var vectorMean = new Vector<float>(mean);
        int i = 0;
        for (; i <= dp.Length - Width; i += Width)
        {
            (new Vector<float>(p[i..]) * (new Vector<float>(dp[i..]) - vectorMean) * scale).CopyTo(dp[i..]);
        }

        for (; i < dp.Length; i++)
        {
            dp[i] = p[i] * (dp[i] - mean) * scale;
        }
    }

    /// <summary>GELU in the tanh approximation: x/2 · (1 + tanh u) with u = √(2/π)(x + 0.044715 x³).</summary>
    public static void Gelu(ReadOnlySpan<float> x, Span<float> y)
    {
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            var value = new Vector<float>(x[i..]);
            (value * GeluGate(value)).CopyTo(y[i..]);
        }

        for (; i < x.Length; i++)
        {
            y[i] = x[i] * GeluGate(new Vector<float>(x[i]))[0];
        }
    }

    /// <summary>The gradient of <see cref="Gelu"/>, in place: dy becomes dx.</summary>
    public static void GeluGradient(ReadOnlySpan<float> x, Span<float> dy)
    {
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            (new Vector<float>(dy[i..]) * GeluSlope(new Vector<float>(x[i..]))).CopyTo(dy[i..]);
        }

        for (; i < x.Length; i++)
        {
            dy[i] *= GeluSlope(new Vector<float>(x[i]))[0];
        }
    }

    // (1 + tanh u) / 2 = 1 / (1 + exp(-2u)), which needs no tanh. Where exp overflows, the quotient is the right 0.
    private static Vector<float> GeluGate(Vector<float> x)
    {
        Vector<float> u = GeluScale * x * (Vector<float>.One + (GeluCubic * x * x));
        return Vector<float>.One / (Vector<float>.One + Vector.Exp(-2f * u));
    }

    private static Vector<float> GeluSlope(Vector<float> x)
    {
        Vector<float> gate = GeluGate(x);
        Vector<float> slopeOfU = GeluScale * (Vector<float>.One + (3f * GeluCubic * x * x));
        return gate + (2f * x * gate * (Vector<float>.One - gate) * slopeOfU);
    }
}
