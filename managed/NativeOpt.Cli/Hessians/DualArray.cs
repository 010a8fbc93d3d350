using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>
/// Numbers and what each of them changes by along a direction in the space of the parameters: a dual number for each element.
/// </summary>
internal sealed class DualArray
{
    /// <summary>Creates zeros.</summary>
    public DualArray(int length) => (Value, Tangent) = (new float[length], new float[length]);

    /// <summary>The numbers.</summary>
    public float[] Value { get; }

    /// <summary>Their derivatives along the direction.</summary>
    public float[] Tangent { get; }

    /// <summary>Sets both to 0.</summary>
    public void Clear(int count)
    {
        Array.Clear(Value, 0, count);
        Array.Clear(Tangent, 0, count);
    }
}

/// <summary>A view of a matrix of dual numbers; both parts lie alike.</summary>
/// <param name="Value">The numbers.</param>
/// <param name="Tangent">Their derivatives along the direction.</param>
internal readonly record struct DualMatrix(Matrix Value, Matrix Tangent)
{
    /// <summary>A dense row-major matrix at the start of an array.</summary>
    public DualMatrix(DualArray data, int rows, int columns)
        : this(data, 0, rows, columns, columns)
    {
    }

    /// <summary>A matrix whose columns are adjacent.</summary>
    public DualMatrix(DualArray data, int offset, int rows, int columns, int rowStride)
        : this(
            new Matrix(data.Value, offset, rows, columns, rowStride, 1),
            new Matrix(data.Tangent, offset, rows, columns, rowStride, 1))
    {
    }

    /// <summary>The same numbers with rows and columns exchanged.</summary>
    public DualMatrix Transposed => new(Value.Transposed, Tangent.Transposed);
}
