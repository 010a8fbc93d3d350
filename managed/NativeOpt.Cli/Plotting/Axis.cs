using System.Globalization;

namespace NativeOpt.Cli.Plotting;

/// <summary>
/// Maps values to positions in the picture, with ticks at multiples of 1, 2 or 5 times a power of ten; on a logarithmic
/// axis at powers of ten, or where these are few also at 2 and 5 times as much.
/// </summary>
internal sealed class Axis
{
    // Of a power of ten, on a logarithmic axis.
    private static readonly double[] _parts = [1, 2, 5];

    private readonly double _start;
    private readonly double _end;
    private readonly bool _isLogarithmic;
    private readonly int _decimals;

    /// <summary>Creates an axis that shows all values between two positions and has at most
    /// <paramref name="maximumTicks"/> steps. If it is logarithmic, all values must be above 0.</summary>
    public Axis(IEnumerable<double> values, double start, double end, int maximumTicks, bool isLogarithmic = false)
    {
        (_start, _end, _isLogarithmic) = (start, end, isLogarithmic);
        double low = double.PositiveInfinity;
        double high = double.NegativeInfinity;
        foreach (double value in values)
        {
            low = Math.Min(low, value);
            high = Math.Max(high, value);
        }

        if (isLogarithmic)
        {
            Ticks = LogarithmicTicks(low, high, maximumTicks);
            return;
        }

        if (low > high)
        {
            (low, high) = (0, 1);
        }
        else if (high - low <= 1e-9 * Math.Max(Math.Abs(low), Math.Abs(high)) || high == low)
        {
            // A single value: give it room on both sides.
            double margin = low == 0 ? 1 : Math.Abs(low) / 10;
            (low, high) = (low - margin, high + margin);
        }

        double step = NiceStep((high - low) / maximumTicks);
        _decimals = Math.Clamp((int)-Math.Floor(Math.Log10(step) + 1e-9), 0, 15);
        double first = Math.Floor((low / step) + 1e-9);
        double last = Math.Ceiling((high / step) - 1e-9);
        Ticks = [.. Enumerable.Range(0, (int)(last - first) + 1).Select(i => (first + i) * step)];
    }

    /// <summary>The values to mark, in ascending order; they enclose all values.</summary>
    public double[] Ticks { get; }

    /// <summary>The value at the start of the axis.</summary>
    public double First => Ticks[0];

    /// <summary>The value at the end of the axis.</summary>
    public double Last => Ticks[^1];

    /// <summary>Whether a value has a position: no axis has one for infinity, a logarithmic one none for 0 or less.</summary>
    public static bool HasPlaceFor(double value, bool isLogarithmic) =>
        double.IsFinite(value) && (!isLogarithmic || value > 0);

    /// <summary>The position of a value.</summary>
    public double Place(double value) =>
        _start + ((Scaled(value) - Scaled(First)) / (Scaled(Last) - Scaled(First)) * (_end - _start));

    /// <summary>What to write beside a tick: as many decimals as the steps need.</summary>
    public string Label(double tick)
    {
        if (_isLogarithmic)
        {
            string format = tick switch
            {
                >= 1e12 or < 1e-4 => "0e0",
                >= 1e9 => "0,,,G",
                >= 1e6 => "0,,M",
                >= 1e3 => "0,k",
                _ => "0.####",
            };
            return tick.ToString(format, CultureInfo.InvariantCulture);
        }

        double largest = Math.Max(Math.Abs(First), Math.Abs(Last));
        return largest is >= 1e7 or < 1e-4
            ? tick.ToString("0.###e0", CultureInfo.InvariantCulture)
            : (tick == 0 ? 0 : tick).ToString("F" + _decimals, CultureInfo.InvariantCulture);
    }

    private double Scaled(double value) => _isLogarithmic ? Math.Log10(value) : value;

    private static double[] LogarithmicTicks(double low, double high, int maximumTicks)
    {
        if (low > high)
        {
            (low, high) = (1, 10);
        }
        else if (high == low)
        {
            (low, high) = (low / 2, high * 2);
        }

        // Each of 1, 2, 5, 10 and so on; or each power of ten, each second one, each third one.
        int power = (int)Math.Floor(Math.Log10(low) + 1e-9);
        for (int stride = 1; ; stride = stride == 1 ? _parts.Length : stride + _parts.Length)
        {
            int first = (int)Math.Floor((double)power * _parts.Length / stride) * stride;
            while (Part(first + stride) <= low * (1 + 1e-9))
            {
                first += stride;
            }

            int steps = 1;
            while (steps <= maximumTicks && Part(first + (steps * stride)) < high * (1 - 1e-9))
            {
                steps++;
            }

            if (steps <= maximumTicks)
            {
                return [.. Enumerable.Range(0, steps + 1).Select(i => Part(first + (i * stride)))];
            }
        }

        static double Part(int i)
        {
            int ofTen = (int)Math.Floor((double)i / _parts.Length);
            return _parts[i - (ofTen * _parts.Length)] * Math.Pow(10, ofTen);
        }
    }

    private static double NiceStep(double atLeast)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(atLeast)));
        double[] candidates = [power, 2 * power, 5 * power, 10 * power];
        return candidates.First(step => step >= atLeast * (1 - 1e-9));
    }
}
