namespace NativeOpt;

/// <summary>What an optimizer keeps of parameters of 16 bits beyond their 16 bits, so that small updates add up.</summary>
public enum MasterWeights
{
    /// <summary>Nothing: steps are taken from the parameters as they are, and rounded.</summary>
    None = 0,

    /// <summary>
    /// A float32 copy of each bfloat16 and float16 parameter, <see cref="StateRole.MasterParam"/>: steps are taken there, and
    /// the parameter is its rounded copy.
    /// </summary>
    Float32 = 1,

    /// <summary>
    /// The 16 bits that a bfloat16 parameter lacks of a float32, <see cref="StateRole.ParamRemainder"/>: the same numbers as
    /// with <see cref="Float32"/>, bit for bit, in half of the memory.
    /// </summary>
    Remainder = 2,
}
