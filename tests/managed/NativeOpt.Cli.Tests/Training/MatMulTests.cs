using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>Matrix products of awkward shapes against the definition.</summary>
public sealed class MatMulTests
{
    // Around the tile (6 rows, 16 columns with AVX2), the row block (48) and the depth block (256).
    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 1, 1 }, { 6, 16, 1 }, { 5, 15, 3 }, { 7, 17, 9 }, { 13, 33, 256 }, { 49, 31, 257 }, { 100, 20, 520 },
        { 2, 100, 511 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void AgreesWithDefinition(int rows, int columns, int depth)
    {
        var random = new DeterministicRandom(1);
        float[] bias = Normal(random, columns);
        foreach (int threads in new[] { 1, 3 })
        {
            var matMul = new MatMul(new ParallelLoop { Threads = threads });
            foreach (bool transposeA in new[] { false, true })
            {
                foreach (bool transposeB in new[] { false, true })
                {
                    Matrix a = Create(random, rows, depth, transposeA);
                    Matrix b = Create(random, depth, columns, transposeB);
                    var c = new Matrix(Normal(random, rows * columns), rows, columns);
                    matMul.Multiply(a, b, c, bias);
                    AssertProduct(a, b, c, bias);
                    matMul.Multiply(a, b, c);
                    AssertProduct(a, b, c, null);
                    MatMul.Multiply(a, b, c, new MatMul.Workspace());
                    AssertProduct(a, b, c, null);
                }
            }
        }
    }

    [Fact]
    public void WritesOnlyItsOwnPartOfAWiderMatrix()
    {
        var random = new DeterministicRandom(1);
        Matrix a = Create(random, 9, 5, false);
        Matrix b = Create(random, 5, 19, false);
        float[] wide = new float[2 + (9 * 40)];
        Array.Fill(wide, 7f);
        var c = new Matrix(wide, 2, 9, 19, 40, 1);
        MatMul.Multiply(a, b, c, new MatMul.Workspace());
        AssertProduct(a, b, c, null);
        for (int i = 0; i < wide.Length; i++)
        {
            bool inside = i >= 2 && (i - 2) % 40 < 19;
            Assert.True(inside || wide[i] == 7f);
        }
    }

    [Fact]
    public void WrongShapesAreRefused()
    {
        var workspace = new MatMul.Workspace();
        var m23 = new Matrix(new float[6], 2, 3);
        var m32 = new Matrix(new float[6], 3, 2);
        var m22 = new Matrix(new float[4], 2, 2);
        Assert.Throws<ArgumentException>(() => MatMul.Multiply(m23, m23, m22, workspace));
        Assert.Throws<ArgumentException>(() => MatMul.Multiply(m23, m32, m23, workspace));
        Assert.Throws<ArgumentException>(() => MatMul.Multiply(m23, m32, m22.Transposed, workspace));
        Assert.Throws<ArgumentException>(
            () => MatMul.Multiply(m23, m32, new Matrix(new float[3], 2, 2), workspace));
        Assert.Throws<ArgumentException>(
            () => new MatMul(new ParallelLoop()).Multiply(m23, m32, m22, bias: new float[3]));
    }

    private static float[] Normal(DeterministicRandom random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)random.NextNormal())];

    private static Matrix Create(DeterministicRandom random, int rows, int columns, bool transposed)
    {
        float[] data = Normal(random, rows * columns);
        return transposed ? new Matrix(data, columns, rows).Transposed : new Matrix(data, rows, columns);
    }

    private static void AssertProduct(in Matrix a, in Matrix b, in Matrix c, float[]? bias)
    {
        for (int i = 0; i < c.Rows; i++)
        {
            for (int j = 0; j < c.Columns; j++)
            {
                double expected = bias?[j] ?? 0;
                for (int k = 0; k < a.Columns; k++)
                {
                    expected += (double)a.Data[a.At(i, k)] * b.Data[b.At(k, j)];
                }

                Assert.Equal(expected, c.Data[c.At(i, j)], 1e-5 * Math.Sqrt(a.Columns + 1));
            }
        }
    }
}
