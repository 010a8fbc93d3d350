namespace NativeOpt;

/// <summary>An instruction set that the CPU backend was compiled for.</summary>
/// <param name="Name">"baseline", "x86-64-v3", "x86-64-v4".</param>
/// <param name="IsSupported">Whether this processor can run it.</param>
/// <param name="IsSelected">Whether steps use it now.</param>
public sealed record CpuInstructionSetInfo(string Name, bool IsSupported, bool IsSelected);
