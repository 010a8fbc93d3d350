using System.Globalization;

namespace NativeOpt;

/// <summary>The ranges of numbers that users give.</summary>
internal static class Check
{
    /// <summary>The least positive float of full precision.</summary>
    public const double SmallestNormal = 1.17549435082228751e-38;

    /// <summary>Whether a value is finite as a float and not negative; NaN is not.</summary>
    public static bool IsAtLeastZero(double value) => value >= 0 && value <= float.MaxValue;

    /// <summary>Finite as a float and not negative; NaN fails.</summary>
    public static void AtLeastZero(double value, string name, string paramName)
    {
        if (!IsAtLeastZero(value))
        {
            Throw(value, name, "at least 0 and finite as a float", paramName);
        }
    }

    /// <summary>Positive, and finite and normal as a float; NaN fails.</summary>
    public static void Positive(double value, string name, string paramName)
    {
        if (!(value >= SmallestNormal && value <= float.MaxValue))
        {
            Throw(value, name, "above 0, and finite and normal as a float", paramName);
        }
    }

    /// <summary>Finite, and at least the least normal float; NaN fails.</summary>
    public static void PositiveOrLarger(double value, string name, string paramName)
    {
        if (!(value >= SmallestNormal && value <= double.MaxValue))
        {
            Throw(value, name, "finite and at least 1.18e-38, the least normal float", paramName);
        }
    }

    /// <summary>At least 1.</summary>
    public static void AtLeastOne(long value, string name, string paramName)
    {
        if (value < 1)
        {
            Throw(value, name, "at least 1", paramName);
        }
    }

    /// <summary>At least 2.</summary>
    public static void AtLeastTwo(long value, string name, string paramName)
    {
        if (value < 2)
        {
            Throw(value, name, "at least 2", paramName);
        }
    }

    /// <summary>A value of its enumeration.</summary>
    public static void Defined<T>(T value, string name, string paramName)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
        {
            throw new ArgumentOutOfRangeException(
                paramName, value, $"{name} is {value}; it must be {string.Join(" or ", Enum.GetNames<T>())}.");
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

    /// <summary>A type that some state of some rule may have.</summary>
    public static void StateType(DType type, string name, string paramName)
    {
        DType[] allowed =
            [.. Rule.All.SelectMany(static rule => rule.States).SelectMany(static state => state.DTypes).Distinct().Order()];
        if (!allowed.Contains(type))
        {
            throw new ArgumentOutOfRangeException(paramName, type, $"{name} is {type}; it must be {OneOf(allowed)}.");
        }
    }

    /// <summary>What there is to choose from, in words.</summary>
    public static string OneOf(IReadOnlyList<DType> types) =>
        types.Count == 1 ? $"{types[0]}" : $"{string.Join(", ", types.SkipLast(1))} or {types[^1]}";

    private static void Throw(double value, string name, string range, string paramName) =>
        throw new ArgumentOutOfRangeException(
            paramName, value, string.Create(CultureInfo.InvariantCulture, $"{name} is {value}; it must be {range}."));
}
