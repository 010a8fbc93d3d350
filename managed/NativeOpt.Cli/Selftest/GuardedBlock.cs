namespace NativeOpt.Cli.Selftest;

/// <summary>One role of all tensors in one piece of device memory, laid out with canaries.</summary>
internal sealed class GuardedBlock : IDisposable
{
    private readonly DeviceBuffer<byte> _memory;
    private readonly DeviceStream _stream;
    private readonly byte[] _copy = [];

    /// <param name="name">What differences call it.</param>
    /// <param name="device">Where.</param>
    /// <param name="layout">Where the tensors are in it.</param>
    /// <param name="image">What it holds at first.</param>
    /// <param name="stream">The stream of all work on it.</param>
    public GuardedBlock(string name, Device device, GuardedLayout layout, byte[] image, DeviceStream stream)
    {
        (Name, Layout, _stream) = (name, layout, stream);
        _memory = new DeviceBuffer<byte>(device, layout.Length);
        if (device.Backend != Backend.Cpu)
        {
            _copy = new byte[layout.Length];
        }

        Write(image);
    }

    public string Name { get; }

    public GuardedLayout Layout { get; }

    /// <summary>The address of each tensor, 0 for those that have no such buffer.</summary>
    public nint[] Pointers =>
    [
        .. Enumerable.Range(0, Layout.TensorCount).Select(
            tensor => Layout.TypeOf(tensor) is null ? 0 : _memory.Pointer + Layout.ByteOf(tensor, 0)),
    ];

    /// <summary>Overwrites everything.</summary>
    public void Write(byte[] image) => _memory.CopyFrom(image, _stream);

    /// <summary>All bytes, after the work that is queued; valid until the next call.</summary>
    public ReadOnlySpan<byte> Read()
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
