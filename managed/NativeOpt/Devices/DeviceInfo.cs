namespace NativeOpt;

/// <summary>A device, described.</summary>
/// <param name="Device">The device.</param>
/// <param name="Name">Its product name; for the CPU the instruction set in use.</param>
/// <param name="ProcessorCount">CUDA: streaming multiprocessors. CPU: threads of the library's pool.</param>
/// <param name="MemoryBytes">Bytes of memory on the device; null if unknown.</param>
/// <param name="ComputeCapability">CUDA: the compute capability, for example 9.0. CPU: null.</param>
public sealed record DeviceInfo(
    Device Device, string Name, int ProcessorCount, long? MemoryBytes, Version? ComputeCapability);
