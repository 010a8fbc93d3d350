namespace NativeOpt;

/// <summary>The element type of a tensor.</summary>
public enum DType
{
    /// <summary>IEEE 754 binary32, <see cref="float"/>.</summary>
    Float32 = 1,
}
