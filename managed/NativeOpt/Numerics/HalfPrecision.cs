namespace NativeOpt;

/// <summary>Elements of 16 bits as float32, which holds each of them exactly, and float32 rounded to 16 bits.</summary>
internal static class HalfPrecision
{
    /// <summary>Widens elements.</summary>
    /// <param name="type">Their type: bfloat16 or float16.</param>
    /// <param name="source">Their bits.</param>
    /// <param name="destination">Room for as many.</param>
    public static void ToSingle(DType type, ReadOnlySpan<ushort> source, Span<float> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = type == DType.BFloat16
                ? BitConverter.UInt32BitsToSingle((uint)source[i] << 16)
                : (float)BitConverter.UInt16BitsToHalf(source[i]);
        }
    }

    /// <summary>Rounds elements to nearest, ties to even.</summary>
    /// <param name="type">The type to round to: bfloat16 or float16.</param>
    /// <param name="source">The elements.</param>
    /// <param name="destination">Room for the bits of as many.</param>
    public static void FromSingle(DType type, ReadOnlySpan<float> source, Span<ushort> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = type == DType.BFloat16 ? ToBFloat16(source[i]) : BitConverter.HalfToUInt16Bits((Half)source[i]);
        }
    }

    /// <summary>
    /// Whether an element of 16 bits is a number rounded to nearest. A tie may have gone to even or, as beside master weights of
    /// bfloat16, away from zero. A NaN is a NaN rounded, whatever its bits.
    /// </summary>
    /// <param name="type">The type of the element: bfloat16 or float16.</param>
    /// <param name="element">The element.</param>
    /// <param name="source">The number.</param>
    public static bool IsRounded(DType type, float element, float source)
    {
        if (type != DType.BFloat16 || float.IsNaN(source))
        {
            return element.Equals((float)(Half)source); // Equals takes a NaN as equal to a NaN.
        }

        uint bits = BitConverter.SingleToUInt32Bits(element);
        return bits == (uint)ToBFloat16(source) << 16
            || bits == ((BitConverter.SingleToUInt32Bits(source) + 0x8000) & 0xFFFF0000);
    }

    private static ushort ToBFloat16(float value)
    {
        const uint QuietNaN = 0x0040;
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value)
            ? (ushort)((bits >> 16) | QuietNaN)
            : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
