namespace NativeOpt;

/// <summary>Elements of 16 bits as float32, which holds each of them exactly.</summary>
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
}
