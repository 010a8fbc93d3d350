namespace NativeOpt.Cli.Training;

/// <summary>Loops over whole activations, spread over threads.</summary>
internal sealed class Elementwise
{
    // Long enough to outweigh handing out a range, short enough that all threads get some.
    private const int Grain = 8192;

    private const int RowGrain = 32;

    private readonly ParallelLoop _loop;
    private readonly RangeBody _add;
    private readonly RangeBody _gelu;
    private readonly RangeBody _geluGradient;
    private readonly RangeBody _sumSlice;
    private float[] _x = [];
    private float[] _y = [];
    private float[] _result = [];
    private float[] _partialSums = [];

    /// <summary>Creates the loops.</summary>
    public Elementwise(ParallelLoop loop)
    {
        _loop = loop;
        _add = (begin, end, _) =>
            VectorMath.Add(_x.AsSpan(begin..end), _y.AsSpan(begin..end), _result.AsSpan(begin..end));
        _gelu = (begin, end, _) => VectorMath.Gelu(_x.AsSpan(begin..end), _result.AsSpan(begin..end));
        _geluGradient = (begin, end, _) =>
            VectorMath.GeluGradient(_x.AsSpan(begin..end), _result.AsSpan(begin..end));
        _sumSlice = SumSlice;
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
        int slices = (rows + RowGrain - 1) / RowGrain;
        if (_partialSums.Length < slices * sum.Length)
        {
            _partialSums = new float[slices * sum.Length];
        }

        (_x, _result) = (x, sum);
        _loop.Run(rows, RowGrain, _sumSlice);
        AddSlices(_partialSums, slices, sum);
    }

    /// <summary>Adds up the slices' sums in order. A slice is a fixed number of rows, so the order of the whole sum
    /// does not depend on the number of threads.</summary>
    public static void AddSlices(ReadOnlySpan<float> slices, int count, Span<float> sum)
    {
        sum.Clear();
        for (int slice = 0; slice < count; slice++)
        {
            VectorMath.Add(sum, slices.Slice(slice * sum.Length, sum.Length), sum);
        }
    }

    private void SumSlice(int begin, int end, int worker)
    {
        int columns = _result.Length;
        Span<float> sum = _partialSums.AsSpan(begin / RowGrain * columns, columns);
        AddSlices(_x.AsSpan(begin * columns), end - begin, sum);
    }
}
