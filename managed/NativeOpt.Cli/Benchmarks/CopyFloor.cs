using System.Diagnostics;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>The floor on a GPU: its own copies from memory to memory, of as many bytes as the step reads and writes.</summary>
internal sealed unsafe class CopyFloor : IContender, IDisposable
{
    private const long MaxBufferBytes = 1 << 30;

    private readonly Device _device;
    private readonly long _bytes;
    private readonly DeviceBuffer<byte> _source;
    private readonly DeviceBuffer<byte> _destination;

    public CopyFloor(BenchCase row)
    {
        _device = row.Device;

        // Each byte that is copied is read and written.
        _bytes = Math.Max(1, (long)(row.Traffic.BytesPerElement * row.Shape.ElementCount / 2));
        _source = new DeviceBuffer<byte>(row.Device, Math.Min(_bytes, MaxBufferBytes));
        _destination = new DeviceBuffer<byte>(row.Device, _source.Length);
    }

    public string Name => "floor";

    public double Run(int repetitions)
    {
        DeviceStream.Default.Synchronize(_device);
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < repetitions; i++)
        {
            for (long left = _bytes; left > 0; left -= _source.Length)
            {
                nopt_status status = NativeMethods.nopt_memory_copy(
                    (nopt_backend)_device.Backend, _device.Index, (void*)_destination.Pointer, (void*)_source.Pointer,
                    Math.Min(left, _source.Length), null);
                if (status != nopt_status.NOPT_OK)
                {
                    throw new BenchFault($"The device did not copy: {status}.");
                }
            }
        }

        DeviceStream.Default.Synchronize(_device);
        return Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    public void Dispose()
    {
        _source.Dispose();
        _destination.Dispose();
    }
}
