using System.Runtime.InteropServices;

namespace NativeOpt;

/// <summary>
/// States of 8 bits as float32, and back if they were such: the definition is that of NOPT_DTYPE_DYNAMIC8 in the C header.
/// Rounding is left to the native steps.
/// </summary>
internal static class Dynamic8
{
    /// <summary>The elements of a block; the last one of a tensor may have fewer.</summary>
    private const int BlockLength = 256;

    private const int BlockBytes = sizeof(float) + BlockLength;
    private const int Decades = 7;

    // The byte of the largest number below 1 of a state that has negative values.
    private const int LargestNegated = 127;

    private static readonly float[] Signed = Numbers(isSigned: true);
    private static readonly float[] Unsigned = Numbers(isSigned: false);

    /// <summary>Decodes blocks from the first element of one on, to the bits that a step reads.</summary>
    /// <param name="isSigned">Whether the state has negative values (<see cref="RuleState.IsSigned"/>).</param>
    /// <param name="source">The blocks.</param>
    /// <param name="destination">Room for as many elements as there are.</param>
    public static void ToSingle(bool isSigned, ReadOnlySpan<byte> source, Span<float> destination)
    {
        float[] numbers = isSigned ? Signed : Unsigned;
        while (!destination.IsEmpty)
        {
            float scale = MemoryMarshal.Read<float>(source);
            int length = Math.Min(BlockLength, destination.Length);
            ReadOnlySpan<byte> codes = source.Slice(sizeof(float), length);
            for (int i = 0; i < length; i++)
            {
                destination[i] = numbers[codes[i]] * scale;
            }

            destination = destination[length..];
            source = source[Math.Min(BlockBytes, source.Length)..];
        }
    }

    /// <summary>
    /// Encodes numbers that blocks stand for, so that they are decoded to the same numbers again. Of numbers that no block
    /// stands for, some are decoded to others.
    /// </summary>
    /// <param name="isSigned">Whether the state has negative values.</param>
    /// <param name="source">The numbers, from the first one of a block on.</param>
    /// <param name="destination">Room for their blocks.</param>
    public static void FromSingle(bool isSigned, ReadOnlySpan<float> source, Span<byte> destination)
    {
        while (!source.IsEmpty)
        {
            int length = Math.Min(BlockLength, source.Length);
            EncodeBlock(isSigned, source[..length], destination[..(sizeof(float) + length)]);
            source = source[length..];
            destination = destination[(sizeof(float) + length)..];
        }
    }

    /// <summary>Encodes a block with the first of the scales that it may have had that fits all of its numbers.</summary>
    private static void EncodeBlock(bool isSigned, ReadOnlySpan<float> source, Span<byte> block)
    {
        float largest = LargestMagnitude(source);
        if (float.IsNaN(largest))
        {
            // The scale alone makes all numbers NaN.
            block.Clear();
            MemoryMarshal.Write(block, largest);
            return;
        }

        // The scale was the largest magnitude before the state was rounded. That one became 1 times the scale; or, if it was
        // negative, the largest number below 1 times the scale, since there is no -1. The quotient finds the scale back up to
        // the rounding of that product.
        float divided = largest / Signed[LargestNegated];
        ReadOnlySpan<float> scales = isSigned
            ? [largest, divided, MathF.BitDecrement(divided), MathF.BitIncrement(divided)]
            : [largest];
        foreach (float scale in scales)
        {
            if (TryEncode(isSigned, source, scale, block))
            {
                return;
            }
        }
    }

    /// <summary>Encodes a block with a scale, and tells whether its numbers come back.</summary>
    private static bool TryEncode(bool isSigned, ReadOnlySpan<float> source, float scale, Span<byte> block)
    {
        float[] numbers = isSigned ? Signed : Unsigned;

        // In the order of the numbers, those of the negative ones' bytes come first.
        int first = isSigned ? LargestNegated + 2 : 0;
        Span<float> products = stackalloc float[numbers.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            products[i] = numbers[(byte)(first + i)] * scale;
        }

        for (int i = 0; i < source.Length; i++)
        {
            int found = products.BinarySearch(source[i]);
            if (found < 0)
            {
                return false;
            }

            block[sizeof(float) + i] = (byte)(first + found);
        }

        MemoryMarshal.Write(block, scale);
        return true;
    }

    /// <summary>The largest magnitude; NaN if a number is NaN.</summary>
    private static float LargestMagnitude(ReadOnlySpan<float> source)
    {
        float largest = 0;
        foreach (float value in source)
        {
            largest = MathF.Max(largest, MathF.Abs(value));
        }

        return largest;
    }

    /// <summary>
    /// By byte: 0, then the middles of n equal parts of [0.1, 1) times each power of ten from 1e-6 to 1, n doubling from each
    /// to the next, then 1. A sign takes half of the numbers.
    /// </summary>
    private static float[] Numbers(bool isSigned)
    {
        double[] powers = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1];
        float[] numbers = new float[256];
        int index = 1;
        for (int decade = 0; decade < Decades; decade++)
        {
            int parts = 1 << (decade + (isSigned ? 0 : 1));
            for (int part = 0; part < parts; part++, index++)
            {
                double magnitude = powers[decade] * (0.1 + (0.9 * (part + 0.5) / parts));
                numbers[index] = (float)magnitude;
                if (isSigned)
                {
                    numbers[256 - index] = (float)-magnitude;
                }
            }
        }

        numbers[index] = 1;
        return numbers;
    }
}
