namespace NativeOpt;

/// <summary>What runs a step.</summary>
public enum Backend
{
    /// <summary>The processor, with the widest instruction set that it supports and a thread pool of the library's own.</summary>
    Cpu = 0,

    /// <summary>An NVIDIA GPU.</summary>
    Cuda = 1,
}
