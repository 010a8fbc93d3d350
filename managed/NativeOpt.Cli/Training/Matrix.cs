namespace NativeOpt.Cli.Training;

/// <summary>
/// A view of a matrix that lies in an array, with a stride for each direction. Transposing a view, or cutting one
/// attention head out of a wider activation, moves no data.
/// </summary>
internal readonly record struct Matrix(
    float[] Data, int Offset, int Rows, int Columns, int RowStride, int ColumnStride)
{
    /// <summary>A dense row-major matrix at the start of <paramref name="data"/>.</summary>
    public Matrix(float[] data, int rows, int columns)
        : this(data, 0, rows, columns, columns, 1)
    {
    }

    /// <summary>The same numbers with rows and columns exchanged.</summary>
    public Matrix Transposed => new(Data, Offset, Columns, Rows, ColumnStride, RowStride);

    /// <summary>The position in <see cref="Data"/> of one element.</summary>
    public int At(int row, int column) => Offset + (row * RowStride) + (column * ColumnStride);
}
