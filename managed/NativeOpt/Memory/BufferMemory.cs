namespace NativeOpt;

/// <summary>The memory of one kind of buffer, of all tensors together.</summary>
/// <param name="Role">What it holds, by the name of state files and of the C header: "exp_avg", "direction" and so on.</param>
/// <param name="Bytes">
/// What is allocated. Each tensor's part begins at a multiple of 64 bytes, so it is more than the elements where tensors are
/// small.
/// </param>
public readonly record struct BufferMemory(string Role, long Bytes);
