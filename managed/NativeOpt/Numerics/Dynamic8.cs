using System.Runtime.InteropServices;

namespace NativeOpt;

/// <summary>
/// States of 8 bits as float32: the definition is that of NOPT_DTYPE_DYNAMIC8 in the C header. Encoding is left to the native
/// steps.
/// </summary>
internal static class Dynamic8
{
    /// <summary>The elements of a block; the last one of a tensor may have fewer.</summary>
    private const int BlockLength = 256;

    private const int BlockBytes = sizeof(float) + BlockLength;
    private const int Decades = 7;

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
