using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NativeOpt.Cli.Training;

/// <summary>
/// Matrix product C = A·B (+ a bias for each column), single precision. The three products of a linear layer are this
/// one routine on transposed views: Y = X·Wᵀ, dX = dY·W and dW = dYᵀ·X.
/// </summary>
/// <remarks>
/// <para>The classic scheme: a tile of 6 rows by two vectors of C stays in registers while one pass over the depth
/// feeds it; B is packed once into panels as wide as a tile, so that this pass reads it in order; depth and rows are
/// blocked so that a panel stays in the first-level cache and a block of A in the second.</para>
/// <para>Each element of C is one chain of fused multiply-adds in order of depth, whatever tile it falls into and
/// whoever computes it. So the bits do not depend on the number of threads.</para>
/// </remarks>
internal sealed class MatMul
{
    private const int TileRows = 6;
    private const int BlockRows = 8 * TileRows;
    private const int BlockDepth = 256;
    private const int PackRowsGrain = 32;

    private readonly ParallelLoop _loop;
    private readonly RangeBody _packPanels;
    private readonly RangeBody _multiplyRows;
    private float[] _packedB = [];
    private float[][] _packedA = [];

    // Operands of the product in progress: fields, so that the loop bodies are created once and not once per call.
    private Matrix _a;
    private Matrix _b;
    private Matrix _c;
    private float[]? _bias;

    /// <summary>Creates a product that spreads over the threads of <paramref name="loop"/>.</summary>
    public MatMul(ParallelLoop loop)
    {
        _loop = loop;
        _packPanels = (begin, end, _) => PackPanels(_b, _packedB, begin, end);
        _multiplyRows = (begin, end, worker) =>
            MultiplyRows(_a, _packedB, _c, _bias, _packedA[worker], begin, end);
    }

    /// <summary>C = A·B, plus <paramref name="bias"/> in every row where given, on all threads.</summary>
    public void Multiply(in Matrix a, in Matrix b, in Matrix c, float[]? bias = null)
    {
        Check(a, b, c, bias);
        Grow(ref _packedB, Panels(b) * TileColumns * b.Rows);
        if (_packedA.Length < _loop.Threads)
        {
            _packedA = new float[_loop.Threads][];
            for (int i = 0; i < _packedA.Length; i++)
            {
                _packedA[i] = new float[BlockRows * BlockDepth];
            }
        }

        (_a, _b, _c, _bias) = (a, b, c, bias);
        _loop.Run(b.Rows, PackRowsGrain, _packPanels);
        _loop.Run(a.Rows, BlockRows, _multiplyRows);
    }

    /// <summary>C = A·B on the calling thread only, for products inside the body of a parallel loop.</summary>
    public static void Multiply(in Matrix a, in Matrix b, in Matrix c, Workspace workspace)
    {
        Check(a, b, c, null);
        Grow(ref workspace.PackedB, Panels(b) * TileColumns * b.Rows);
        PackPanels(b, workspace.PackedB, 0, b.Rows);
        for (int begin = 0; begin < a.Rows; begin += BlockRows)
        {
            int end = Math.Min(begin + BlockRows, a.Rows);
            MultiplyRows(a, workspace.PackedB, c, null, workspace.PackedA, begin, end);
        }
    }

    private static void Check(in Matrix a, in Matrix b, in Matrix c, float[]? bias)
    {
        if (a.Columns != b.Rows || a.Rows != c.Rows || b.Columns != c.Columns || c.ColumnStride != 1
            || (bias is not null && bias.Length != c.Columns))
        {
            throw new ArgumentException(
                $"Shapes do not fit: {a.Rows}x{a.Columns} times {b.Rows}x{b.Columns} into {c.Rows}x{c.Columns}.");
        }

        CheckInside(a);
        CheckInside(b);
        CheckInside(c);
    }

    // The kernels below read and write without bounds checks, so the corners are checked once here.
    private static void CheckInside(in Matrix m)
    {
        if (m.Rows < 1 || m.Columns < 1 || m.Offset < 0 || m.RowStride < 0 || m.ColumnStride < 0
            || m.At(m.Rows - 1, m.Columns - 1) >= m.Data.Length)
        {
            throw new ArgumentException($"A {m.Rows}x{m.Columns} view does not lie inside its array.");
        }
    }

    private static int TileColumns => 2 * Vector<float>.Count;

    private static int Panels(in Matrix b) => (b.Columns + TileColumns - 1) / TileColumns;

    private static void Grow(ref float[] buffer, int length)
    {
        if (buffer.Length < length)
        {
            buffer = new float[length];
        }
    }

    /// <summary>Copies the rows [begin, end) of B into panels, each as many columns as a tile has, row after row.
    /// Columns that B lacks are 0.</summary>
    private static void PackPanels(in Matrix b, float[] packed, int begin, int end)
    {
        if (b.ColumnStride == 1)
        {
            // Row by row, because B is read in order then.
            for (int k = begin; k < end; k++)
            {
                ReadOnlySpan<float> row = b.Data.AsSpan(b.At(k, 0), b.Columns);
                for (int j = 0; j < b.Columns; j += TileColumns)
                {
                    Span<float> target = packed.AsSpan((j * b.Rows) + (k * TileColumns), TileColumns);
                    if (b.Columns - j >= TileColumns)
                    {
                        row.Slice(j, TileColumns).CopyTo(target);
                    }
                    else
                    {
                        target.Clear();
                        row[j..].CopyTo(target);
                    }
                }
            }

            return;
        }

        for (int j = 0; j < Panels(b) * TileColumns; j++)
        {
            int panel = j / TileColumns;
            ref float target = ref packed[(((panel * b.Rows) + begin) * TileColumns) + (j % TileColumns)];
            ref float source = ref b.Data[j < b.Columns ? b.At(begin, j) : 0];
            for (nint k = 0; k < end - begin; k++)
            {
                Unsafe.Add(ref target, k * TileColumns) = j < b.Columns ? Unsafe.Add(ref source, k * b.RowStride) : 0;
            }
        }
    }

    /// <summary>Computes the rows [begin, end) of C, at most <see cref="BlockRows"/> of them.</summary>
    private static void MultiplyRows(
        in Matrix a, float[] packedB, in Matrix c, float[]? bias, float[] packedA, int begin, int end)
    {
        // What C starts from (the bias, or zeros), and a tile that stands in for C where C is narrower than a tile.
        Span<float> start = stackalloc float[TileColumns];
        Span<float> edge = stackalloc float[TileRows * TileColumns];

        for (int k = 0; k < a.Columns; k += BlockDepth)
        {
            int depth = Math.Min(BlockDepth, a.Columns - k);

            // Rows of A that lie in order are read in place. Those of a transposed view are far apart and are packed.
            bool pack = a.ColumnStride != 1;
            if (pack)
            {
                PackRows(a, packedA, begin, end, k, depth);
            }

            for (int j = 0; j < c.Columns; j += TileColumns)
            {
                int columns = Math.Min(TileColumns, c.Columns - j);
                bool whole = columns == TileColumns;
                ref float b = ref packedB[(j * a.Columns) + (k * TileColumns)];
                start.Clear();
                bias?.AsSpan(j, columns).CopyTo(start);

                for (int i = begin; i < end; i += TileRows)
                {
                    int rows = Math.Min(TileRows, end - i);
                    ref float aTile = ref pack ? ref packedA[(i - begin) * depth] : ref a.Data[a.At(i, k)];
                    nint aRow = pack ? 1 : a.RowStride;
                    nint aColumn = pack ? TileRows : 1;

                    Span<float> cTile = whole ? c.Data.AsSpan(c.At(i, j)) : edge;
                    int cRow = whole ? c.RowStride : TileColumns;
                    if (!whole && k > 0)
                    {
                        CopyTile(c.Data.AsSpan(c.At(i, j)), c.RowStride, edge, TileColumns, rows, columns);
                    }

                    ref float from = ref MemoryMarshal.GetReference(k == 0 ? start : cTile);
                    nint fromRow = k == 0 ? 0 : cRow;
                    ref float to = ref MemoryMarshal.GetReference(cTile);
                    if (rows == TileRows)
                    {
                        MultiplyTile(ref aTile, aRow, aColumn, ref b, depth, ref from, fromRow, ref to, cRow);
                    }
                    else
                    {
                        for (int r = 0; r < rows; r++)
                        {
                            MultiplyRow(
                                ref Unsafe.Add(ref aTile, r * aRow), aColumn, ref b, depth,
                                ref Unsafe.Add(ref from, r * fromRow), ref Unsafe.Add(ref to, r * cRow));
                        }
                    }

                    if (!whole)
                    {
                        CopyTile(edge, TileColumns, c.Data.AsSpan(c.At(i, j)), c.RowStride, rows, columns);
                    }
                }
            }
        }
    }

    /// <summary>Copies rows of A tile by tile so that the 6 numbers which a step of depth needs lie together.</summary>
    private static void PackRows(in Matrix a, float[] packed, int begin, int end, int firstColumn, int depth)
    {
        for (int i = begin; i < end; i += TileRows)
        {
            int rows = Math.Min(TileRows, end - i);
            ref float target = ref packed[(i - begin) * depth];
            ref float source = ref a.Data[a.At(i, firstColumn)];
            bool adjacent = rows == TileRows && a.RowStride == 1;
            for (nint k = 0; k < depth; k++)
            {
                if (adjacent)
                {
                    Unsafe.As<float, TileColumn>(ref target) = Unsafe.As<float, TileColumn>(ref source);
                }
                else
                {
                    for (nint r = 0; r < rows; r++)
                    {
                        Unsafe.Add(ref target, r) = Unsafe.Add(ref source, r * a.RowStride);
                    }
                }

                target = ref Unsafe.Add(ref target, TileRows);
                source = ref Unsafe.Add(ref source, a.ColumnStride);
            }
        }
    }

    private static void CopyTile(
        ReadOnlySpan<float> source, int sourceRow, Span<float> target, int targetRow, int rows, int columns)
    {
        for (int r = 0; r < rows; r++)
        {
            source.Slice(r * sourceRow, columns).CopyTo(target[(r * targetRow)..]);
        }
    }

    /// <summary>The kernel: 12 accumulators, two vectors of B and one broadcast number of A fill the 16 registers of
    /// AVX2, and 12 independent chains hide the latency of the multiply-adds.</summary>
    private static void MultiplyTile(
        ref float a, nint aRow, nint aColumn, ref float b, int depth,
        ref float from, nint fromRow, ref float to, nint toRow)
    {
        nint w = Vector<float>.Count;
        Vector<float> c00 = Load(ref from, 0), c01 = Load(ref from, w);
        Vector<float> c10 = Load(ref from, fromRow), c11 = Load(ref from, fromRow + w);
        Vector<float> c20 = Load(ref from, 2 * fromRow), c21 = Load(ref from, (2 * fromRow) + w);
        Vector<float> c30 = Load(ref from, 3 * fromRow), c31 = Load(ref from, (3 * fromRow) + w);
        Vector<float> c40 = Load(ref from, 4 * fromRow), c41 = Load(ref from, (4 * fromRow) + w);
        Vector<float> c50 = Load(ref from, 5 * fromRow), c51 = Load(ref from, (5 * fromRow) + w);
        nint row2 = 2 * aRow, row3 = 3 * aRow, row4 = 4 * aRow, row5 = 5 * aRow;

        for (int k = 0; k < depth; k++)
        {
            Vector<float> b0 = Load(ref b, 0), b1 = Load(ref b, w);
            var x = new Vector<float>(a);
            c00 = Vector.FusedMultiplyAdd(x, b0, c00);
            c01 = Vector.FusedMultiplyAdd(x, b1, c01);
            x = new Vector<float>(Unsafe.Add(ref a, aRow));
            c10 = Vector.FusedMultiplyAdd(x, b0, c10);
            c11 = Vector.FusedMultiplyAdd(x, b1, c11);
            x = new Vector<float>(Unsafe.Add(ref a, row2));
            c20 = Vector.FusedMultiplyAdd(x, b0, c20);
            c21 = Vector.FusedMultiplyAdd(x, b1, c21);
            x = new Vector<float>(Unsafe.Add(ref a, row3));
            c30 = Vector.FusedMultiplyAdd(x, b0, c30);
            c31 = Vector.FusedMultiplyAdd(x, b1, c31);
            x = new Vector<float>(Unsafe.Add(ref a, row4));
            c40 = Vector.FusedMultiplyAdd(x, b0, c40);
            c41 = Vector.FusedMultiplyAdd(x, b1, c41);
            x = new Vector<float>(Unsafe.Add(ref a, row5));
            c50 = Vector.FusedMultiplyAdd(x, b0, c50);
            c51 = Vector.FusedMultiplyAdd(x, b1, c51);
            a = ref Unsafe.Add(ref a, aColumn);
            b = ref Unsafe.Add(ref b, 2 * w);
        }

        Store(ref to, 0, c00, c01);
        Store(ref to, toRow, c10, c11);
        Store(ref to, 2 * toRow, c20, c21);
        Store(ref to, 3 * toRow, c30, c31);
        Store(ref to, 4 * toRow, c40, c41);
        Store(ref to, 5 * toRow, c50, c51);
    }

    /// <summary>The same for a single row: what remains where the rows are no multiple of 6.</summary>
    private static void MultiplyRow(
        ref float a, nint aColumn, ref float b, int depth, ref float from, ref float to)
    {
        nint w = Vector<float>.Count;
        Vector<float> c0 = Load(ref from, 0), c1 = Load(ref from, w);
        for (int k = 0; k < depth; k++)
        {
            var x = new Vector<float>(a);
            c0 = Vector.FusedMultiplyAdd(x, Load(ref b, 0), c0);
            c1 = Vector.FusedMultiplyAdd(x, Load(ref b, w), c1);
            a = ref Unsafe.Add(ref a, aColumn);
            b = ref Unsafe.Add(ref b, 2 * w);
        }

        Store(ref to, 0, c0, c1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Load(ref float from, nint offset) =>
        Vector.LoadUnsafe(ref Unsafe.Add(ref from, offset));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(ref float to, nint offset, Vector<float> left, Vector<float> right)
    {
        left.StoreUnsafe(ref Unsafe.Add(ref to, offset));
        right.StoreUnsafe(ref Unsafe.Add(ref to, offset + Vector<float>.Count));
    }

    [InlineArray(TileRows)]
    private struct TileColumn
    {
        private float _first;
    }

    /// <summary>Scratch memory for products on one thread.</summary>
    internal sealed class Workspace
    {
        /// <summary>The panels of B; grows to what the largest product needs.</summary>
        internal float[] PackedB = [];

        /// <summary>One block of rows of a transposed A.</summary>
        internal readonly float[] PackedA = new float[BlockRows * BlockDepth];
    }
}
