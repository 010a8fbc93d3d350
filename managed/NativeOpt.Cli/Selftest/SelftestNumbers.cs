using System.Runtime.InteropServices;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Selftest;

/// <summary>Floats that kernels could get wrong, as bits.</summary>
internal static class SelftestNumbers
{
    private const uint Sign = 0x80000000;
    private const int ExponentBits = 23;
    private const uint One = 127u << ExponentBits;
    private const uint Infinity = 255u << ExponentBits;
    private const uint MaxFinite = Infinity - 1;
    private const ushort BFloat16NaN = 0x7FC0;

    /// <summary>Draws such numbers for a tensor of any type that has them.</summary>
    /// <param name="random">The source.</param>
    /// <param name="type">The element type; those of 16 bits are rounded.</param>
    /// <param name="bytes">The elements.</param>
    /// <param name="hasStrange">As below.</param>
    public static void Fill(DeterministicRandom random, DType type, Span<byte> bytes, bool hasStrange)
    {
        if (type == DType.Float32)
        {
            Fill(random, MemoryMarshal.Cast<byte, uint>(bytes), hasStrange);
            return;
        }

        if (type is not (DType.BFloat16 or DType.Float16))
        {
            throw new SelftestFault($"The selftest does not know the numbers of {type}.");
        }

        uint[] words = new uint[bytes.Length / sizeof(ushort)];
        Fill(random, words, hasStrange);
        Round(words, type, MemoryMarshal.Cast<byte, ushort>(bytes));
    }

    /// <summary>Sets all elements of a tensor to a number; those of 16 bits are rounded.</summary>
    /// <exception cref="SelftestFault">The type has no elements that stand for themselves.</exception>
    public static void FillWith(float value, DType type, Span<byte> bytes)
    {
        switch (type)
        {
            case DType.Float32:
                MemoryMarshal.Cast<byte, float>(bytes).Fill(value);
                break;
            case DType.BFloat16 or DType.Float16:
                uint[] words = new uint[bytes.Length / sizeof(ushort)];
                Array.Fill(words, BitConverter.SingleToUInt32Bits(value));
                Round(words, type, MemoryMarshal.Cast<byte, ushort>(bytes));
                break;
            default:
                throw new SelftestFault($"A state that begins at {value} cannot be {type}.");
        }
    }

    /// <summary>Draws numbers of many magnitudes, among them both zeros and denormal ones.</summary>
    /// <param name="random">The source.</param>
    /// <param name="words">The bits.</param>
    /// <param name="hasStrange">Whether NaNs, infinities and the largest finite number are among them.</param>
    public static void Fill(DeterministicRandom random, Span<uint> words, bool hasStrange = false)
    {
        for (int i = 0; i < words.Length; i++)
        {
            ulong bits = random.NextUInt64();
            uint sign = (uint)bits & Sign;
            uint fraction = (uint)(bits >> (64 - ExponentBits));
            uint scale = (uint)(bits >> 8) % 32; // 2^-30 to 2
            uint magnitude = (byte)bits switch
            {
                0 or 1 => 0,
                2 or 3 => fraction, // denormal
                4 => (One + (10u << ExponentBits)) | fraction,
                5 when hasStrange => Infinity,
                6 when hasStrange => Infinity | fraction | 1, // NaN
                7 when hasStrange => MaxFinite,
                _ => (One + (scale << ExponentBits) - (30u << ExponentBits)) | fraction,
            };
            words[i] = sign | magnitude;
        }
    }

    // To bfloat16 it rounds by leaving bits out, since any number will do.
    private static void Round(uint[] words, DType type, Span<ushort> rounded)
    {
        for (int i = 0; i < words.Length; i++)
        {
            float value = BitConverter.UInt32BitsToSingle(words[i]);
            rounded[i] = type == DType.Float16 ? BitConverter.HalfToUInt16Bits((Half)value)
                : float.IsNaN(value) ? BFloat16NaN
                : (ushort)(words[i] >> 16);
        }
    }
}
