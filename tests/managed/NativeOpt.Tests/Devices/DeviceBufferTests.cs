using Xunit;

namespace NativeOpt.Tests.Devices;

public class DeviceBufferTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1001)]
    public void Starts_zeroed_and_aligned(int length)
    {
        // Earlier contents of freed memory must not show.
        using (DeviceBuffer<float> dirty = new(Device.Cpu, length))
        {
            dirty.Fill(float.NaN);
        }

        using DeviceBuffer<float> buffer = new(Device.Cpu, length);
        Assert.Equal((Device.Cpu, length, 4L * length), (buffer.Device, buffer.Length, buffer.ByteLength));
        Assert.Equal(0, buffer.Pointer % 64);
        Assert.Equal(length == 0, buffer.Pointer == 0);
        Assert.Equal(new float[length], buffer.AsSpan().ToArray());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(70_001)]
    public void Small_elements_start_zeroed_too(int length)
    {
        using (DeviceBuffer<byte> dirty = new(Device.Cpu, length))
        {
            dirty.Fill(0xFF);
            Assert.Equal(Enumerable.Repeat((byte)0xFF, length), dirty.AsSpan().ToArray());
        }

        using DeviceBuffer<byte> buffer = new(Device.Cpu, length);
        Assert.Equal(new byte[length], buffer.AsSpan().ToArray());
    }

    [Fact]
    public void Copies_whole_and_in_part()
    {
        using DeviceBuffer<float> buffer = new(Device.Cpu, 5);
        buffer.CopyFrom([1, 2, 3, 4, 5]);
        buffer.CopyFrom([30, 40], offset: 2);
        float[] all = new float[5];
        buffer.CopyTo(all);
        Assert.Equal([1, 2, 30, 40, 5], all);
        float[] part = new float[2];
        buffer.CopyTo(part, offset: 3);
        Assert.Equal([40, 5], part);
        Assert.Equal([2, 30], buffer.AsSpan(1, 2).ToArray());
        buffer.CopyFrom([], offset: 5);
        buffer.Fill(-1.5f);
        Assert.Equal(Enumerable.Repeat(-1.5f, 5), buffer.AsSpan().ToArray());
    }

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using DeviceBuffer<float> buffer = new(Device.Cpu, 5);
        Assert.Throws<ArgumentException>(() => buffer.CopyFrom(new float[4]));
        Assert.Throws<ArgumentException>(() => buffer.CopyFrom(new float[6]));
        Assert.Throws<ArgumentException>(() => buffer.CopyTo(new float[4]));
        Assert.Throws<ArgumentException>(() => buffer.CopyTo(new float[6]));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.CopyFrom(new float[2], offset: 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.CopyFrom(new float[2], offset: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.CopyTo(new float[6], offset: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(0, 6).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(1, -1).Length);
        Assert.Throws<ArgumentException>(() => buffer.Fill(1, DeviceStream.PerThread));
        Assert.Throws<ArgumentException>(() => buffer.CopyFrom(new float[5], DeviceStream.PerThread));
        Assert.Equal(new float[5], buffer.AsSpan().ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceBuffer<float>(Device.Cpu, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceBuffer<double>(Device.Cpu, long.MaxValue / 8));
        Assert.ThrowsAny<OutOfMemoryException>(() => new DeviceBuffer<float>(Device.Cpu, 1L << 50));
    }

    [Fact]
    public void Is_disposed_of()
    {
        DeviceBuffer<float> buffer = new(Device.Cpu, 5);
        buffer.Dispose();
        buffer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => buffer.Pointer);
        Assert.Throws<ObjectDisposedException>(() => buffer.Fill(1));
        Assert.Throws<ObjectDisposedException>(() => buffer.CopyFrom(new float[5]));
        Assert.Throws<ObjectDisposedException>(() => buffer.CopyTo(new float[5]));
        Assert.Throws<ObjectDisposedException>(() => buffer.AsSpan().Length);
        Assert.Throws<ObjectDisposedException>(() => (TensorRef)buffer);
    }

    [SkippableFact]
    public void Cuda_memory_has_no_span()
    {
        Skip.IfNot(Device.TryGetCudaDevices(out _, out string? reason), reason);
        using DeviceBuffer<float> buffer = new(Device.Cuda(), 5);
        Assert.Throws<InvalidOperationException>(() => buffer.AsSpan().Length);
        buffer.CopyFrom([1, 2, 3, 4, 5]);
        float[] all = new float[5];
        buffer.CopyTo(all);
        Assert.Equal([1, 2, 3, 4, 5], all);
    }
}
