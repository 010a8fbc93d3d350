using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using Xunit;

namespace NativeOpt.Hosts.Tests.Ilgpu;

/// <summary>ILGPU's buffers on its CPU accelerator, whose memory is the host's.</summary>
public sealed class IlgpuTests : IDisposable
{
    private readonly Context _context = Context.Create(static builder => builder.CPU());
    private readonly Accelerator _accelerator;

    public IlgpuTests() => _accelerator = _context.CreateCPUAccelerator(0);

    public void Dispose()
    {
        _accelerator.Dispose();
        _context.Dispose();
    }

    [Fact]
    public void Buffers_are_stepped_in_place_on_gradients_of_a_kernel()
    {
        float[] values = [.. Enumerable.Range(0, 100).Select(static i => (i - 50) / 10f)];
        float[] array = [.. values], arrayGradient = new float[100];
        using MemoryBuffer1D<float, Stride1D.Dense> weights = _accelerator.Allocate1D(values);
        using MemoryBuffer1D<float, Stride1D.Dense> gradients = _accelerator.Allocate1D<float>(100);
        Action<Index1D, ArrayView<float>, ArrayView<float>> kernel =
            _accelerator.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>>(Gradient);
        using ParameterSet buffers = ParameterSet.FromBuffers([weights], [gradients]);
        using ParameterSet arrays = ParameterSet.FromArrays([array], [arrayGradient]);
        using Adam actual = new(buffers), expected = new(arrays);
        for (int step = 0; step < 3; step++)
        {
            kernel(100, weights.View, gradients.View);
            actual.Step(_accelerator.DefaultStream);
            for (int i = 0; i < 100; i++)
            {
                arrayGradient[i] = array[i] * 3;
            }

            expected.Step();
            Assert.Equal(array, weights.GetAsArray1D());
        }

        Assert.NotEqual(values, array);
    }

    [Fact]
    public void A_dimer_steps_on_a_stream()
    {
        using MemoryBuffer1D<float, Stride1D.Dense> weights = _accelerator.Allocate1D<float>([2, -1]);
        using MemoryBuffer1D<float, Stride1D.Dense> gradients = _accelerator.Allocate1D<float>(2);
        Action<Index1D, ArrayView<float>, ArrayView<float>> kernel =
            _accelerator.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>>(Gradient);
        using ParameterSet set = ParameterSet.FromBuffers([weights], [gradients]);
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 0.1 });
        using DimerOptimizer dimer = new(sgd, DimerOptions.Recommended);
        using AcceleratorStream stream = _accelerator.CreateStream();
        float last = float.MaxValue;
        for (int step = 0; step < 20; step++)
        {
            last = dimer.Step(
                () =>
                {
                    kernel(2, weights.View, gradients.View);
                    return weights.GetAsArray1D().Sum(static w => 1.5f * w * w);
                },
                stream);
        }

        Assert.InRange(last, 0, 0.1f); // It was 7.5.
    }

    [Fact]
    public void Views_matrices_and_halves_become_tensors_of_their_memory()
    {
        using MemoryBuffer1D<float, Stride1D.Dense> buffer = _accelerator.Allocate1D<float>(10);
        Assert.Equal(new TensorRef(buffer.NativePtr, 10, DType.Float32, Device.Cpu), buffer.AsTensorRef());
        Assert.Equal(
            new TensorRef(buffer.NativePtr + 12, 5, DType.Float32, Device.Cpu), buffer.View.BaseView.SubView(3, 5).AsTensorRef());
        using MemoryBuffer1D<float, Stride1D.Dense> empty = _accelerator.Allocate1D<float>(0);
        Assert.Equal(0, empty.AsTensorRef().ElementCount);
        using MemoryBuffer2D<float, Stride2D.DenseY> matrix = _accelerator.Allocate2DDenseY<float>(new LongIndex2D(3, 5));
        Assert.Equal(new TensorRef(matrix.NativePtr, 15, DType.Float32, Device.Cpu), matrix.AsTensorRef());
        using MemoryBuffer3D<float, Stride3D.DenseXY> cube = _accelerator.Allocate3DDenseXY<float>(new LongIndex3D(2, 3, 4));
        Assert.Equal(new TensorRef(cube.NativePtr, 24, DType.Float32, Device.Cpu), cube.AsTensorRef());
        using MemoryBuffer1D<global::ILGPU.Half, Stride1D.Dense> ours = _accelerator.Allocate1D<global::ILGPU.Half>(4);
        Assert.Equal(new TensorRef(ours.NativePtr, 4, DType.Float16, Device.Cpu), ours.AsTensorRef());
        using MemoryBuffer1D<System.Half, Stride1D.Dense> half = _accelerator.Allocate1D<System.Half>(4);
        Assert.Equal(DType.Float16, half.AsTensorRef().DType);
        using MemoryBuffer1D<ushort, Stride1D.Dense> bits = _accelerator.Allocate1D<ushort>(4);
        Assert.Equal(
            new TensorRef(bits.NativePtr, 4, DType.BFloat16, Device.Cpu), bits.View.BaseView.AsTensorRef(DType.BFloat16));
    }

    [Fact]
    public void What_is_no_tensor_is_refused()
    {
        using MemoryBuffer1D<int, Stride1D.Dense> integers = _accelerator.Allocate1D<int>(4);
        Assert.Contains(
            "System.Int32", Assert.Throws<NotSupportedException>(() => integers.AsTensorRef()).Message, StringComparison.Ordinal);
        using MemoryBuffer2D<float, Stride2D.DenseX> padded = _accelerator.Allocate2DPitchedX<float>(new LongIndex2D(3, 5), 64);
        Assert.Contains(
            "padding", Assert.Throws<ArgumentException>(() => padded.AsTensorRef()).Message, StringComparison.Ordinal);
        Assert.Contains(
            "of no buffer",
            Assert.Throws<ArgumentException>(() => default(ArrayView<float>).AsTensorRef()).Message,
            StringComparison.Ordinal);
        using MemoryBuffer1D<ushort, Stride1D.Dense> bits = _accelerator.Allocate1D<ushort>(4);
        Assert.Throws<ArgumentOutOfRangeException>(() => bits.View.BaseView.AsTensorRef(DType.Float32));
        Assert.Throws<NotSupportedException>(() => bits.AsTensorRef());
    }

    [Fact]
    public void A_set_is_of_one_accelerator_and_has_gradients_that_fit()
    {
        using Accelerator other = _context.CreateCPUAccelerator(0);
        using MemoryBuffer1D<float, Stride1D.Dense> four = _accelerator.Allocate1D<float>(4);
        using MemoryBuffer1D<float, Stride1D.Dense> five = _accelerator.Allocate1D<float>(5);
        using MemoryBuffer1D<float, Stride1D.Dense> elsewhere = other.Allocate1D<float>(4);
        Assert.Contains(
            "one accelerator",
            Assert.Throws<ArgumentException>(() => ParameterSet.FromBuffers([four], [elsewhere])).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => ParameterSet.FromBuffers([four], [five]));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromBuffers<float>([], []));
        Assert.Throws<ArgumentNullException>(() => ParameterSet.FromBuffers([four], [null!]));
    }

    [Fact]
    public void A_set_keeps_its_buffers_from_the_garbage_collector()
    {
        using ParameterSet set = Make(_accelerator);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 1 });
        sgd.Step();
        float[] values = new float[3];
        set.GetParameter(0).CopyTo(values);
        Assert.Equal([0, 1, 2], values);

        static ParameterSet Make(Accelerator accelerator) =>
            ParameterSet.FromBuffers([accelerator.Allocate1D<float>([1, 2, 3])], [accelerator.Allocate1D<float>([1, 1, 1])]);
    }

    [Fact]
    public void Streams_and_devices_are_those_of_the_accelerator()
    {
        Assert.Equal(Device.Cpu, _accelerator.AsDevice());
        Assert.Equal(DeviceStream.Default, _accelerator.DefaultStream.AsDeviceStream());
    }

    private static void Gradient(Index1D i, ArrayView<float> weights, ArrayView<float> gradients) =>
        gradients[i] = weights[i] * 3;
}
