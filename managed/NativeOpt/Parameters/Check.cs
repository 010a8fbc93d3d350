using System.Globalization;

namespace NativeOpt;

/// <summary>The ranges of numbers that users give.</summary>
internal static class Check
{
    /// <summary>Finite as a float and not negative; NaN fails.</summary>
    public static void AtLeastZero(double value, string name, string paramName)
    {
        if (!(value >= 0 && value <= float.MaxValue))
        {
            Throw(value, name, "at least 0 and finite as a float", paramName);
        }
    }

    /// <summary>In [0, 1); NaN fails.</summary>
    public static void Beta(double value, string name, string paramName)
    {
        if (!(value >= 0 && value < 1))
        {
            Throw(value, name, "in [0, 1)", paramName);
        }
    }

    /// <summary>In [0, 1]; NaN fails.</summary>
    public static void Product(double value, string name, string paramName)
    {
        if (!(value >= 0 && value <= 1))
        {
            Throw(value, name, "in [0, 1]", paramName);
        }
    }

    private static void Throw(double value, string name, string range, string paramName) =>
        throw new ArgumentOutOfRangeException(
            paramName, value, string.Create(CultureInfo.InvariantCulture, $"{name} is {value}; it must be {range}."));
}
