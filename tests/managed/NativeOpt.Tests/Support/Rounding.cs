namespace NativeOpt.Tests.Support;

/// <summary>
/// Numbers of 16 bits and the rounding to them, by comparing distances in double; written from the formats' definitions, not
/// from the library's sources.
/// </summary>
internal static class Rounding
{
    private enum Ties
    {
        ToEven,
        AwayFromZero,
    }

    /// <summary>To nearest, ties to even.</summary>
    public static double ToNearest(DType type, double value) => type switch
    {
        DType.Float32 => (float)value,
        DType.Float16 => (double)(Half)value,
        _ => ValueOf(DType.BFloat16, ToBFloat16(value, Ties.ToEven)),
    };

    /// <summary>The bits of a bfloat16 or float16, to nearest, ties to even.</summary>
    public static ushort BitsOf(DType type, double value) =>
        type == DType.Float16 ? BitConverter.HalfToUInt16Bits((Half)value) : ToBFloat16(value, Ties.ToEven);

    /// <summary>The bits of a bfloat16 beside a master: to nearest, ties away from zero.</summary>
    public static ushort AwayFromZero(double value) => ToBFloat16(value, Ties.AwayFromZero);

    public static double ValueOf(DType type, ushort bits) =>
        type == DType.Float16
            ? (double)BitConverter.UInt16BitsToHalf(bits)
            : BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>The bfloat16 at or below, and the one at or above.</summary>
    public static (double Down, double Up) Around(double value)
    {
        ushort inner = TowardZero(value);
        double a = ValueOf(DType.BFloat16, inner);
        double b = a == value ? a : ValueOf(DType.BFloat16, (ushort)(inner + 1));
        return (Math.Min(a, b), Math.Max(a, b));
    }

    /// <summary>The float whose lower bits are the remainder, and that rounds to the parameter.</summary>
    public static float Join(ushort parameter, ushort remainder)
    {
        float[] candidates =
        [
            .. new[] { parameter, (ushort)(parameter - 1) }
                .Select(upper => BitConverter.UInt32BitsToSingle(((uint)upper << 16) | remainder))
                .Where(value => AwayFromZero(value) == parameter),
        ];
        return candidates.Single();
    }

    private static ushort ToBFloat16(double value, Ties ties)
    {
        ushort inner = TowardZero(value);
        ushort outer = (ushort)(inner + 1);
        double toInner = Math.Abs(value - ValueOf(DType.BFloat16, inner));
        double toOuter = Math.Abs(value - ValueOf(DType.BFloat16, outer));
        bool takesInner = toInner == toOuter ? ties == Ties.ToEven && inner % 2 == 0 : toInner < toOuter;
        return takesInner ? inner : outer;
    }

    private static ushort TowardZero(double value)
    {
        ushort bits = (ushort)(BitConverter.SingleToUInt32Bits((float)value) >> 16);

        // The float itself was rounded, perhaps past a bfloat16.
        return Math.Abs(ValueOf(DType.BFloat16, bits)) > Math.Abs(value) ? (ushort)(bits - 1) : bits;
    }
}
