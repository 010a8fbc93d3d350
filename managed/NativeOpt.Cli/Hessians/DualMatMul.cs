using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>The product of matrices of dual numbers, on one thread.</summary>
internal sealed class DualMatMul
{
    private readonly MatMul.Workspace _workspace = new();
    private float[] _term = [];

    /// <summary>C = A·B and C′ = A′·B + A·B′. The columns of C are adjacent.</summary>
    public void Multiply(in DualMatrix a, in DualMatrix b, in DualMatrix c)
    {
        int rows = c.Value.Rows;
        int columns = c.Value.Columns;
        if (_term.Length < rows * columns)
        {
            _term = new float[rows * columns];
        }

        MatMul.Multiply(a.Value, b.Value, c.Value, _workspace);
        MatMul.Multiply(a.Tangent, b.Value, c.Tangent, _workspace);
        MatMul.Multiply(a.Value, b.Tangent, new Matrix(_term, rows, columns), _workspace);
        for (int row = 0; row < rows; row++)
        {
            Span<float> sum = c.Tangent.Data.AsSpan(c.Tangent.At(row, 0), columns);
            VectorMath.Add(sum, _term.AsSpan(row * columns, columns), sum);
        }
    }
}
