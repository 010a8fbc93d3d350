namespace NativeOpt;

/// <summary>The element type of a tensor.</summary>
public enum DType
{
    /// <summary>IEEE 754 binary32, <see cref="float"/>.</summary>
    Float32 = 1,

    /// <summary>The upper 16 bits of a float32: its range, with 8 bits of precision. .NET holds it as <see cref="ushort"/>.</summary>
    BFloat16 = 2,

    /// <summary>IEEE 754 binary16, <see cref="Half"/>: 11 bits of precision, up to 65,504.</summary>
    Float16 = 3,

    /// <summary>
    /// 8 bits in blocks of 256 elements, of states alone (<see cref="OptimizerOptions.StateType"/>): each block is a float32,
    /// the largest magnitude in it, and a byte for each element, which names one of 256 fixed parts of it (dynamic
    /// quantization, Dettmers et al. 2022). <see cref="DTypes.ByteCount(DType, long)"/> tells the bytes of a tensor,
    /// <see cref="Optimizer.CopyStateTo"/> the numbers that they stand for: which these are depends on the state.
    /// </summary>
    Dynamic8 = 4,

    /// <summary>16 bits that are no number on their own: of <see cref="StateRole.ParamRemainder"/> only.</summary>
    UInt16 = 256,
}

/// <summary>What is to be known of element types.</summary>
public static class DTypes
{
    /// <summary>The bytes of a tensor.</summary>
    /// <param name="type">The element type.</param>
    /// <param name="elementCount">The number of elements, 0 or more.</param>
    /// <returns>The bytes; of <see cref="DType.Dynamic8"/> with the scales.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type, or the count is negative.</exception>
    /// <exception cref="OverflowException">The bytes do not fit 63 bits.</exception>
    public static long ByteCount(this DType type, long elementCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementCount);
        return checked(type == DType.Dynamic8
            ? elementCount + (sizeof(float) * Dynamic8.BlockCount(elementCount))
            : elementCount * type.ElementByteCount());
    }

    /// <summary>The bytes of an element; of Dynamic8, which has scales beside its elements, without these.</summary>
    internal static int ElementByteCount(this DType type) => type switch
    {
        DType.Float32 => sizeof(float),
        DType.BFloat16 or DType.Float16 or DType.UInt16 => sizeof(ushort),
        DType.Dynamic8 => sizeof(byte),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>Whether it is a type of parameters and gradients.</summary>
    internal static bool IsNumber(this DType type) => type is DType.Float32 or DType.BFloat16 or DType.Float16;

    /// <summary>The safetensors format's name of it; of Dynamic8 that of its bytes.</summary>
    internal static string SafetensorsName(this DType type) => type switch
    {
        DType.Float32 => "F32",
        DType.BFloat16 => "BF16",
        DType.Float16 => "F16",
        DType.UInt16 => "U16",
        DType.Dynamic8 => "U8",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };
}
