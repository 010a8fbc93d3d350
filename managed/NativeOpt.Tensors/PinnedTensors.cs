using System.Buffers;
using System.Numerics.Tensors;

namespace NativeOpt;

/// <summary>Tensors whose elements the garbage collector leaves in place until they are disposed of.</summary>
/// <param name="tensors">The tensors, dense, of float or Half.</param>
internal sealed class PinnedTensors<T>(Tensor<T>[] tensors) : IDisposable
    where T : unmanaged
{
    private readonly MemoryHandle[] _pins = [.. tensors.Select(static tensor => tensor.GetPinnedHandle())];

    /// <summary>Where the elements are. A handle tells where those of the tensor begin that a slice was cut out of.</summary>
    public TensorRef[] Refs => [.. tensors.Select(static tensor => tensor.AsTensorSpan().AsTensorRef())];

    public void Dispose()
    {
        foreach (MemoryHandle pin in _pins)
        {
            pin.Dispose();
        }
    }
}
