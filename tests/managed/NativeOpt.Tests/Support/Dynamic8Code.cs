namespace NativeOpt.Tests.Support;

/// <summary>
/// The blocks of states of 8 bits, in double; written from the C header's words and Dettmers et al. 2022, not from the
/// library's sources.
/// </summary>
internal static class Dynamic8Code
{
    private static readonly double[] Signed = Numbers(isSigned: true);
    private static readonly double[] Unsigned = Numbers(isSigned: false);

    /// <summary>Whether a state has negative numbers: squares, magnitudes and lengths have none.</summary>
    public static bool IsSigned(StateRole role) =>
        role.Name is not ("exp_avg_sq" or "max_exp_avg_sq" or "exp_inf" or "square_avg" or "acc_delta" or "sum" or "step_size");

    /// <summary>The part of its block's scale that a byte names.</summary>
    public static double Part(bool isSigned, byte code) => (isSigned ? Signed : Unsigned)[code];

    /// <summary>How far the nearest number of the code is from a part of the scale.</summary>
    public static double DistanceToNearest(bool isSigned, double part) =>
        (isSigned ? Signed : Unsigned).Min(number => Math.Abs(number - part));

    /// <summary>A block that a buffer holds: its scale, and the byte of each of its elements.</summary>
    public static (float Scale, byte[] Codes) Block(byte[] buffer, int block) =>
        (BitConverter.ToSingle(buffer, 260 * block), buffer[((260 * block) + 4)..Math.Min(260 * (block + 1), buffer.Length)]);

    public static byte[] Bytes(TensorRef tensor)
    {
        byte[] bytes = new byte[tensor.DType.ByteCount(tensor.ElementCount)];
        tensor.CopyBytesTo(bytes);
        return bytes;
    }

    // From the smallest: in decade d from 1e-6 up there are 2^d numbers, or twice as many where none is negative.
    private static double[] Numbers(bool isSigned)
    {
        List<double> positive = [];
        for (int decade = -6; decade <= 0; decade++)
        {
            int count = (int)Math.Pow(2, decade + (isSigned ? 6 : 7));
            positive.AddRange(
                Enumerable.Range(0, count).Select(i => Math.Pow(10, decade) * (0.1 + (0.9 * (i + 0.5) / count))));
        }

        positive.Add(1);
        return isSigned
            ? [0, .. positive, .. positive.SkipLast(1).Reverse().Select(static number => -number)]
            : [0, .. positive];
    }
}
