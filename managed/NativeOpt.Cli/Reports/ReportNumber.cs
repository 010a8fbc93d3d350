using System.Globalization;

namespace NativeOpt.Cli.Reports;

/// <summary>Numbers for people: four digits that count, and the units that their names tell of.</summary>
internal static class ReportNumber
{
    private const int Digits = 4;

    // Beyond these, a number is written with its power of ten.
    private const double Smallest = 1e-4, Largest = 1e9;

    private const string Minus = "\u2212";

    private static readonly (double Seconds, string Unit)[] _times = [(1, "s"), (1e-3, "ms"), (1e-6, "µs"), (0, "ns")];

    private static readonly string[] _sizes = ["bytes", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>One number.</summary>
    /// <param name="name">What it is, as a document names it.</param>
    /// <param name="value">The number.</param>
    /// <param name="isWhole">Whether the document writes it as a whole number, which keeps all of its digits.</param>
    public static string Format(string name, double value, bool isWhole) =>
        IsTime(name) ? Time(value)
        : isWhole && IsSize(name) ? Size(value)
        : isWhole ? Whole(name, value)
        : Of(value, Decimals(value));

    /// <summary>Numbers of one column, with as many decimals each, unless some are far larger than others.</summary>
    /// <param name="name">What they are.</param>
    /// <param name="values">The numbers.</param>
    /// <param name="areWhole">Whether the document writes all of them as whole numbers.</param>
    public static Func<double, string> FormatOf(string name, IReadOnlyList<double> values, bool areWhole)
    {
        if (areWhole || IsTime(name) || values.Any(static value => value != 0 && !IsPlain(value)))
        {
            return value => Format(name, value, areWhole);
        }

        int decimals = values.Max(Decimals);
        return decimals <= Digits ? value => Of(value, decimals) : value => Of(value, Decimals(value));
    }

    /// <summary>A number that is known up to a spread, in whose second digit it ends.</summary>
    public static Func<double, string> WithSpread(double spread)
    {
        int decimals = double.IsFinite(spread) && spread > 0 ? Math.Clamp(1 - (int)Math.Floor(Math.Log10(spread)), 0, 12) : Digits;
        return value => decimals > 8 ? Of(value, Decimals(value)) : Fixed(value, decimals);
    }

    /// <summary>A time, in seconds.</summary>
    public static string Time(double seconds)
    {
        if (seconds >= 120)
        {
            var time = TimeSpan.FromSeconds(Math.Min(Math.Round(seconds), TimeSpan.MaxValue.TotalSeconds / 2));
            return time.TotalHours >= 1
                ? string.Create(CultureInfo.InvariantCulture, $"{(long)time.TotalHours:N0} h {time.Minutes} min")
                : string.Create(CultureInfo.InvariantCulture, $"{time.Minutes} min {time.Seconds} s");
        }

        (double unit, string name) = seconds == 0 ? _times[0] : _times.First(one => Math.Abs(seconds) >= one.Seconds);
        return $"{Three(seconds / (unit > 0 ? unit : 1e-9))} {name}";
    }

    /// <summary>A number of bytes.</summary>
    public static string Size(double bytes)
    {
        int unit = Math.Abs(bytes) < 1024 ? 0 : Math.Min((int)Math.Log(Math.Abs(bytes), 1024), _sizes.Length - 1);
        return $"{(unit == 0 ? Fixed(bytes, 0) : Three(bytes / Math.Pow(1024, unit)))} {_sizes[unit]}";
    }

    private static bool IsTime(string name) => name is "seconds" || name.EndsWith("_seconds", StringComparison.Ordinal);

    private static bool IsSize(string name) => name is "bytes" || name.EndsWith("_bytes", StringComparison.Ordinal);

    // A seed is a name more than a number.
    private static string Whole(string name, double value) => name.EndsWith("seed", StringComparison.Ordinal)
        ? value.ToString("F0", CultureInfo.InvariantCulture)
        : Math.Abs(value) < 1e15 ? Fixed(value, 0) : Of(value, 0);

    private static bool IsPlain(double value) => Math.Abs(value) is >= Smallest and < Largest;

    // Three digits that count, without zeros at the end.
    private static string Three(double value)
    {
        int decimals = value == 0 ? 0 : Math.Clamp(2 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 2);
        return Fixed(value, Math.Min(decimals, Decimals(Math.Round(value, decimals))));
    }

    private static string Of(double value, int decimals) => value == 0 || IsPlain(value)
        ? Fixed(value, decimals)
        : value.ToString("0.###e+0", CultureInfo.InvariantCulture).Replace("e+", "e", StringComparison.Ordinal)
            .Replace("-", Minus, StringComparison.Ordinal);

    private static string Fixed(double value, int decimals)
    {
        string text = value.ToString($"N{decimals}", CultureInfo.InvariantCulture);
        return text.StartsWith('-') ? Minus + text[1..] : text;
    }

    // The decimals of the digits that count, without zeros at the end.
    private static int Decimals(double value)
    {
        if (value == 0 || !IsPlain(value))
        {
            return 0;
        }

        int most = Math.Clamp(Digits - 1 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 7);
        string text = Math.Abs(value).ToString($"F{most}", CultureInfo.InvariantCulture);
        return most == 0 ? 0 : text.TrimEnd('0').Length - text.IndexOf('.', StringComparison.Ordinal) - 1;
    }
}
