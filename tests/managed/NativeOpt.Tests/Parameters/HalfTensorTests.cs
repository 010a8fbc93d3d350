using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Parameters;

/// <summary>Tensors of 16 bits: where they come from, what they are as float32, and what is refused.</summary>
public class HalfTensorTests
{
    [Theory]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Float16)]
    public void Every_number_of_16_bits_is_copied_as_itself(DType type)
    {
        ushort[] bits = [.. Enumerable.Range(0, 1 << 16).Select(static i => (ushort)i)];
        using DeviceBuffer<ushort> buffer = new(Device.Cpu, bits.Length);
        buffer.CopyFrom(bits);
        TensorRef tensor = TensorRef.FromDeviceBuffer(buffer, type);
        float[] values = Snapshot.Values(tensor);
        ushort[] copied = new ushort[bits.Length];
        tensor.CopyBitsTo(copied);
        Assert.Equal(bits, copied);
        Assert.Equal(bits.Select(own => (float)Rounding.ValueOf(type, own)), values);
        Assert.All(
            values.Zip(bits).Where(static pair => !float.IsNaN(pair.First)),
            pair => Assert.Equal(
                pair.Second, type == DType.Float16 ? BitConverter.HalfToUInt16Bits((Half)pair.First) : Upper(pair.First)));

        static ushort Upper(float value) => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
    }

    [Fact]
    public void Copies_tensors_of_several_pieces()
    {
        const int Count = (2 << 20) + 3;
        using DeviceBuffer<Half> buffer = new(Device.Cpu, Count);
        for (int i = 0; i < Count; i++)
        {
            buffer.AsSpan()[i] = (Half)(i % 2048);
        }

        float[] values = Snapshot.Values(buffer);
        Assert.All(Enumerable.Range(0, Count), i => Assert.Equal(i % 2048, values[i]));
    }

    [Fact]
    public void Buffers_become_tensors_of_their_type()
    {
        using DeviceBuffer<Half> half = new(Device.Cpu, 3);
        using DeviceBuffer<ushort> bits = new(Device.Cpu, 4);
        TensorRef converted = half;
        Assert.Equal(new TensorRef(half.Pointer, 3, DType.Float16, Device.Cpu), converted);
        Assert.Equal(converted, TensorRef.FromDeviceBuffer(half));
        Assert.Equal(
            new TensorRef(bits.Pointer, 4, DType.BFloat16, Device.Cpu), TensorRef.FromDeviceBuffer(bits, DType.BFloat16));
        Assert.Equal(
            new TensorRef(64, 5, DType.BFloat16, Device.Cuda(1)), TensorRef.FromPointer(64, 5, DType.BFloat16, Device.Cuda(1)));
        Assert.Equal(DType.Float32, TensorRef.FromPointer(64, 5).DType);
        Assert.Contains(
            "dtype is Float32",
            Assert.Throws<ArgumentOutOfRangeException>(() => TensorRef.FromDeviceBuffer(bits, DType.Float32)).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentNullException>(() => TensorRef.FromDeviceBuffer(null!, DType.BFloat16));
        Assert.Throws<ArgumentNullException>(() => TensorRef.FromDeviceBuffer((DeviceBuffer<Half>)null!));
    }

    [Fact]
    public void Copies_of_what_does_not_fit_are_refused()
    {
        using DeviceBuffer<ushort> buffer = new(Device.Cpu, 4);
        TensorRef tensor = TensorRef.FromDeviceBuffer(buffer, DType.BFloat16);
        Assert.Contains("3 elements", Assert.Throws<ArgumentException>(() => tensor.CopyTo(new float[3])).Message, StringComparison.Ordinal);
        Assert.Contains("5 elements", Assert.Throws<ArgumentException>(() => tensor.CopyBitsTo(new ushort[5])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => tensor.CopyTo(new float[4], DeviceStream.PerThread));
        Assert.Contains(
            "UInt16",
            Assert.Throws<NotSupportedException>(() => (tensor with { DType = DType.UInt16 }).CopyTo(new float[4])).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "Float32",
            Assert.Throws<NotSupportedException>(() => (tensor with { DType = DType.Float32 }).CopyBitsTo(new ushort[4])).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Gradients_have_the_parameters_type_unless_options_say_otherwise()
    {
        using MixedModel model = new(new MixedTensor(5, DType.BFloat16, DType.BFloat16), new MixedTensor(9, DType.Float16, DType.Float32));
        using Sgd optimizer = new(model.Set);
        Assert.Equal((model.Parameters[0], model.Parameters[1]), (model.Set.GetParameter(0), model.Set.GetParameter(1)));
        TensorRef[] good = model.Gradients;
        Refuses("gradients[0] is Float16; it must be BFloat16", [good[0] with { DType = DType.Float16 }, good[1]]);
        Refuses("gradients[0] is Float32; it must be BFloat16", [good[0] with { DType = DType.Float32 }, good[1]]);
        Refuses("gradients[1] is Float16; it must be Float32", [good[0], good[1] with { DType = DType.Float16 }]);
        Refuses("gradients[0] is UInt16; it must be BFloat16", [good[0] with { DType = DType.UInt16 }, good[1]]);
        Assert.Contains(
            "parameters[1] is BFloat16; it must be Float16",
            Snapshot.Unchanged<ArgumentException>(
                optimizer,
                () => model.Set.SetParameters([model.Parameters[0], model.Parameters[1] with { DType = DType.BFloat16 }])).Message,
            StringComparison.Ordinal);
        model.Set.SetGradients(good);

        // Without options the second gradient is float16, as its parameter.
        using ParameterSet plain = new(model.Parameters);
        Assert.Contains(
            "gradients[1] is Float32; it must be Float16",
            Assert.Throws<ArgumentException>(() => plain.SetGradients(good)).Message, StringComparison.Ordinal);

        void Refuses(string message, TensorRef[] gradients) =>
            Assert.Contains(
                message,
                Snapshot.Unchanged<ArgumentException>(optimizer, () => model.Set.SetGradients(gradients)).Message,
                StringComparison.Ordinal);
    }

    /// <summary>Buffers of 16 bits end where they end: what follows may be another tensor, and needs no more alignment than 2.</summary>
    [Fact]
    public void Overlaps_and_alignment_go_by_the_element()
    {
        using DeviceBuffer<ushort> memory = new(Device.Cpu, 64);
        nint a = memory.Pointer;
        using ParameterSet set = new(
            [TensorRef.FromPointer(a + 2, 3, DType.BFloat16), TensorRef.FromPointer(a + 8, 3, DType.Float16)]);
        set.SetGradients([a + 14, a + 20]);
        using Sgd optimizer = new(set);
        optimizer.Step();
        Assert.Contains("overlaps", Assert.Throws<ArgumentException>(() => set.SetParameters([a + 2, a + 6])).Message, StringComparison.Ordinal);
        Assert.Contains("aligned", Assert.Throws<ArgumentException>(() => set.SetParameters([a + 2, a + 9])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Types_that_are_no_numbers_are_refused()
    {
        using DeviceBuffer<ushort> memory = new(Device.Cpu, 64);
        TensorRef good = TensorRef.FromDeviceBuffer(memory, DType.BFloat16);
        foreach (DType type in new[] { (DType)0, (DType)9, DType.UInt16 })
        {
            Assert.Contains(
                $"parameters[0] has element type {type}",
                Assert.Throws<NotSupportedException>(() => new ParameterSet([good with { DType = type }])).Message,
                StringComparison.Ordinal);
            Assert.Contains(
                $"options[0].GradientType has element type {type}",
                Assert.Throws<NotSupportedException>(
                    () => new ParameterSet([good], [new TensorOptions { GradientType = type }])).Message,
                StringComparison.Ordinal);
        }
    }

    [SkippableTheory]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Float16)]
    public void Copies_from_cuda(DType type)
    {
        Skip.IfNot(Device.TryGetCudaDevices(out _, out string? reason), reason);
        using DeviceBuffer<ushort> buffer = new(Device.Cuda(), 2);
        buffer.CopyFrom([Rounding.BitsOf(type, 1.5), Rounding.BitsOf(type, -3)]);
        Assert.Equal([1.5f, -3], Snapshot.Values(TensorRef.FromDeviceBuffer(buffer, type)));
    }
}
