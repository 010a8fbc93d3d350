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
