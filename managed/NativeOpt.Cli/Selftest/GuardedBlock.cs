namespace NativeOpt.Cli.Selftest;

/// <summary>One role of all tensors in one piece of device memory, laid out with canaries.</summary>
internal sealed class GuardedBlock : IDisposable
{
    private readonly DeviceBuffer<uint> _memory;
    private readonly DeviceStream _stream;
    private readonly uint[] _copy = [];

    /// <param name="name">What differences call it.</param>
    /// <param name="device">Where.</param>
    /// <param name="layout">Where the tensors are in it.</param>
    /// <param name="image">What it holds at first.</param>
    /// <param name="stream">The stream of all work on it.</param>
    public GuardedBlock(string name, Device device, GuardedLayout layout, uint[] image, DeviceStream stream)
    {
        (Name, Layout, _stream) = (name, layout, stream);
        _memory = new DeviceBuffer<uint>(device, layout.Length);
        if (device.Backend != Backend.Cpu)
        {
            _copy = new uint[layout.Length];
        }

        Write(image);
    }

    public string Name { get; }

    public GuardedLayout Layout { get; }

    /// <summary>The address of each tensor.</summary>
    public nint[] Pointers =>
        [.. Enumerable.Range(0, Layout.TensorCount).Select(i => _memory.Pointer + (Layout.WordOf(i, 0) * sizeof(uint)))];

    /// <summary>Overwrites everything.</summary>
    public void Write(uint[] image) => _memory.CopyFrom(image, _stream);

    /// <summary>All words, after the work that is queued; valid until the next call.</summary>
    public ReadOnlySpan<uint> Read()
    {
        if (_copy.Length == 0)
        {
            return _memory.AsSpan();
        }

        _memory.CopyTo(_copy, _stream);
        return _copy;
    }

    public void Dispose() => _memory.Dispose();
}
