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

    /// <summary>16 bits that are no number on their own: of <see cref="StateRole.ParamRemainder"/> only.</summary>
    UInt16 = 256,
}

/// <summary>What the library needs to know of an element type.</summary>
internal static class DTypes
{
    /// <summary>The bytes of an element.</summary>
    public static int ByteCount(this DType type) => type == DType.Float32 ? sizeof(float) : sizeof(ushort);

    /// <summary>The bytes of a tensor of so many elements.</summary>
    public static long ByteCount(this DType type, long elementCount) => elementCount * type.ByteCount();

    /// <summary>Whether it is a type of parameters and gradients.</summary>
    public static bool IsNumber(this DType type) => type is DType.Float32 or DType.BFloat16 or DType.Float16;

    /// <summary>The safetensors format's name of it.</summary>
    public static string SafetensorsName(this DType type) => type switch
    {
        DType.Float32 => "F32",
        DType.BFloat16 => "BF16",
        DType.Float16 => "F16",
        DType.UInt16 => "U16",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };
}
