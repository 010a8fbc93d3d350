using System.Runtime.Intrinsics;

namespace NativeOpt.Cli.Saddles;

/// <summary>
/// What the problems need of linear algebra, in double and row by row. Vectors of a fixed width, and no fused
/// multiply-add: every processor computes the same bits, so the number of steps to a goal is the same everywhere.
/// </summary>
internal static class Dense
{
    private static int Width => Vector256<double>.Count;

    /// <summary>The sum of the products of two vectors.</summary>
    public static double Dot(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        Vector256<double> lanes = Vector256<double>.Zero;
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            lanes += Vector256.Create(x[i..]) * Vector256.Create(y[i..]);
        }

        double sum = lanes[0] + lanes[1] + (lanes[2] + lanes[3]);
        for (; i < x.Length; i++)
        {
            sum += x[i] * y[i];
        }

        return sum;
    }

    /// <summary>y += a · x.</summary>
    public static void Add(double a, ReadOnlySpan<double> x, Span<double> y)
    {
        Vector256<double> factor = Vector256.Create(a);
        int i = 0;
        for (; i <= x.Length - Width; i += Width)
        {
            (Vector256.Create<double>(y[i..]) + (factor * Vector256.Create(x[i..]))).CopyTo(y[i..]);
        }

        for (; i < x.Length; i++)
        {
            y[i] += a * x[i];
        }
    }

    /// <summary>C += A · B, of matrices of r x k and k x c elements, row after row.</summary>
    public static void AddProduct(ReadOnlySpan<double> a, ReadOnlySpan<double> b, Span<double> c, int inner, int columns)
    {
        for (int i = 0; i * inner < a.Length; i++)
        {
            for (int k = 0; k < inner; k++)
            {
                Add(a[(i * inner) + k], b.Slice(k * columns, columns), c.Slice(i * columns, columns));
            }
        }
    }

    /// <summary>C += Aᵀ · B, of matrices of k x r and k x c elements.</summary>
    public static void AddTransposedProduct(
        ReadOnlySpan<double> a, ReadOnlySpan<double> b, Span<double> c, int rows, int columns)
    {
        for (int k = 0; k * rows < a.Length; k++)
        {
            for (int i = 0; i < rows; i++)
            {
                Add(a[(k * rows) + i], b.Slice(k * columns, columns), c.Slice(i * columns, columns));
            }
        }
    }

    /// <summary>C += A · Bᵀ, of matrices of r x k and c x k elements.</summary>
    public static void AddProductTransposed(ReadOnlySpan<double> a, ReadOnlySpan<double> b, Span<double> c, int inner)
    {
        int columns = b.Length / inner;
        for (int i = 0; i < c.Length; i++)
        {
            c[i] += Dot(a.Slice(i / columns * inner, inner), b.Slice(i % columns * inner, inner));
        }
    }
}
