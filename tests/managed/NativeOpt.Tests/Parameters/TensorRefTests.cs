using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Parameters;

public class TensorRefTests
{
    [Fact]
    public void Copies_its_elements()
    {
        using DeviceBuffer<float> buffer = new(Device.Cpu, 5);
        buffer.CopyFrom([1, 2, float.NaN, -0.0f, 5]);
        TensorRef whole = buffer;
        float[] all = new float[5];
        whole.CopyTo(all);
        Assert.Equal([1, 2, float.NaN, -0.0f, 5], all);
        float[] part = [9, 9, 9, 9];
        (whole with { Pointer = whole.Pointer + 4, ElementCount = 2 }).CopyTo(part.AsSpan(1, 2), DeviceStream.Default);
        Assert.Equal([9, 2, float.NaN, 9], part);
        using DeviceStream stream = DeviceStream.Create(Device.Cpu);
        whole.CopyTo(all, stream);
        TensorRef.FromPointer(0, 0).CopyTo([]);
    }

    [Fact]
    public void Copies_what_it_is_given()
    {
        using Model model = new(3, 0, 4097);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 2);
        for (int tensor = 0; tensor < 3; tensor++)
        {
            float[] parameter = new float[model.Parameters[tensor].Length];
            model.Set.GetParameter(tensor).CopyTo(parameter);
            Assert.Equal(model.Parameters[tensor], parameter);
            float[] state = new float[parameter.Length];
            optimizer.GetState(StateRole.ExpAvg, tensor).CopyTo(state);
            Assert.Equal(Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, tensor)), state);
        }
    }

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using DeviceBuffer<float> buffer = new(Device.Cpu, 5);
        buffer.Fill(1);
        TensorRef whole = buffer;
        float[] destination = [7, 7, 7, 7, 7, 7];
        foreach (int length in new[] { 0, 4, 6 })
        {
            ArgumentException exception = Assert.Throws<ArgumentException>(() => whole.CopyTo(destination.AsSpan(0, length)));
            Assert.Equal("destination", exception.ParamName);
            Assert.Contains($"destination has {length} elements, but the tensor has 5", exception.Message, StringComparison.Ordinal);
        }

        Assert.Throws<ArgumentException>(() => TensorRef.FromPointer(0, 0).CopyTo(destination));
        Assert.Contains(
            "Float32",
            Assert.Throws<NotSupportedException>(() => (whole with { DType = (DType)9 }).CopyTo(destination.AsSpan(0, 5))).Message,
            StringComparison.Ordinal);
        Assert.Throws<NotSupportedException>(() => default(TensorRef).CopyTo([]));
        Assert.Throws<ArgumentException>(() => whole.CopyTo(destination.AsSpan(0, 5), DeviceStream.PerThread));
        DeviceStream stream = DeviceStream.Create(Device.Cpu);
        stream.Dispose();
        Assert.Throws<ObjectDisposedException>(() => whole.CopyTo(destination.AsSpan(0, 5), stream));
        Assert.Equal([7, 7, 7, 7, 7, 7], destination);
    }

    [SkippableFact]
    public void Copies_from_cuda()
    {
        Skip.IfNot(Device.TryGetCudaDevices(out _, out string? reason), reason);
        using DeviceBuffer<float> buffer = new(Device.Cuda(), 3);
        buffer.CopyFrom([1, 2, 3]);
        float[] all = new float[3];
        ((TensorRef)buffer).CopyTo(all);
        Assert.Equal([1, 2, 3], all);
    }
}
