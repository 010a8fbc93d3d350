namespace NativeOpt.Cli.Selftest;

/// <summary>Where tensors begin within 16 bytes.</summary>
internal enum SelftestAlignment
{
    /// <summary>At the boundary.</summary>
    Aligned,

    /// <summary>0 to 3 elements after it, a tensor's roles alike, but for every other step's gradients.</summary>
    Alike,

    /// <summary>0 to 3 elements after it, a tensor's roles at different places.</summary>
    Apart,
}
