namespace NativeOpt.Cli.Training;

/// <summary>Loops over whole activations, spread over threads.</summary>
internal sealed class Elementwise
{
    // Long enough to outweigh handing out a range, short enough that all threads get some.
    private const int Grain = 8192;

    // A cache line of columns: no two threads write into the same one.
    private const int ColumnGrain = 16;

    private readonly ParallelLoop _loop;
    private readonly RangeBody _add;
    private readonly RangeBody _gelu;
    private readonly RangeBody _geluGradient;
    private readonly RangeBody _sumRows;
    private float[] _x = [];
    private float[] _y = [];
    private float[] _result = [];
    private int _rows;

    /// <summary>Creates the loops.</summary>
    public Elementwise(ParallelLoop loop)
    {
        _loop = loop;
        _add = (begin, end, _) => VectorMath.Add(_x.AsSpan(begin..end), _y.AsSpan(begin..end), _result.AsSpan(begin..end));
        _gelu = (begin, end, _) => VectorMath.Gelu(_x.AsSpan(begin..end), _result.AsSpan(begin..end));
        _geluGradient = (begin, end, _) => VectorMath.GeluGradient(_x.AsSpan(begin..end), _result.AsSpan(begin..end));
        _sumRows = SumColumns;
    }

    /// <summary>sum = x + y for the first <paramref name="count"/> elements; sum may be x or y.</summary>
    public void Add(float[] x, float[] y, float[] sum, int count)
    {
        (_x, _y, _result) = (x, y, sum);
        _loop.Run(count, Grain, _add);
    }

    /// <summary>y = gelu(x) for the first <paramref name="count"/> elements.</summary>
    public void Gelu(float[] x, float[] y, int count)
    {
        (_x, _result) = (x, y);
        _loop.Run(count, Grain, _gelu);
    }

    /// <summary>Turns dy into dx, in place, for y = gelu(x).</summary>
    public void GeluBackward(float[] x, float[] dy, int count)
    {
        (_x, _result) = (x, dy);
        _loop.Run(count, Grain, _geluGradient);
    }

    /// <summary>Sums the rows of a matrix with as many columns as <paramref name="sum"/> has elements.</summary>
    public void SumRows(float[] x, int rows, float[] sum)
    {
        (_x, _result, _rows) = (x, sum, rows);
        _loop.Run(sum.Length, ColumnGrain, _sumRows);
    }

    // A thread owns columns and adds all rows in order: the order of the sum is that of the rows, however many
    // threads there are.
    private void SumColumns(int begin, int end, int worker)
    {
        int columns = _result.Length;
        Span<float> sum = _result.AsSpan(begin..end);
        sum.Clear();
        for (int row = 0; row < _rows; row++)
        {
            VectorMath.Add(sum, _x.AsSpan((row * columns) + begin, sum.Length), sum);
        }
    }
}
