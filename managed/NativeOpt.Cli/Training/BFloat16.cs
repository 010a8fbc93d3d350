namespace NativeOpt.Cli.Training;

/// <summary>The bits of bfloat16, for which .NET has no type.</summary>
internal static class BFloat16
{
    /// <summary>Rounds to nearest, ties to even; a NaN stays one.</summary>
    /// <param name="source">The numbers.</param>
    /// <param name="destination">Room for the bits of as many.</param>
    public static void Round(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(source[i]);
            uint quiet = (bits >> 16) | 0x40; // without this bit a NaN's upper half may be that of an infinity
            uint rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
            destination[i] = (ushort)(float.IsNaN(source[i]) ? quiet : rounded);
        }
    }
}
