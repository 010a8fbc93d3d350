using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Xunit;

namespace NativeOpt.Hosts.Tests.Tensors;

/// <summary>Tensors of System.Numerics.Tensors: stepped in their own memory, with the bits that arrays get.</summary>
public class TensorTests
{
    [Fact]
    public void Tensors_are_stepped_in_place_with_the_bits_of_arrays()
    {
        float[] values = [.. Enumerable.Range(0, 6).Select(static i => i - 2.5f)];
        float[] array = [.. values], arrayGradient = new float[6];
        Tensor<float> tensor = Tensor.Create<float>([.. values], [2, 3]), gradient = Tensor.CreateFromShape<float>([2, 3]);
        using ParameterSet arrays = ParameterSet.FromArrays([array], [arrayGradient]);
        using ParameterSet tensors = ParameterSet.FromTensors([tensor], [gradient]);
        using Adam expected = new(arrays), actual = new(tensors);
        for (int step = 0; step < 3; step++)
        {
            for (int i = 0; i < 6; i++)
            {
                arrayGradient[i] = array[i] + step;
                gradient[i / 3, i % 3] = arrayGradient[i];
            }

            GC.Collect(); // It moves what is not pinned.
            expected.Step();
            actual.Step();
            float[] flat = new float[6];
            tensor.FlattenTo(flat);
            Assert.Equal(array, flat);
        }

        Assert.NotEqual(values, array);
    }

    [Fact]
    public void Several_tensors_take_their_options()
    {
        Tensor<float> a = Tensor.Create<float>([1, 1]), b = Tensor.Create<float>([1]);
        Tensor<float> da = Tensor.Create<float>([1, 1]), db = Tensor.Create<float>([1]);
        using ParameterSet set = ParameterSet.FromTensors(
            [a, b], [da, db], [new TensorOptions { Name = "a" }, new TensorOptions { Name = "b", LearningRateScale = 0 }]);
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 0.5 });
        sgd.Step();
        Assert.Equal(["a", "b"], set.Names);
        Assert.Equal((0.5f, 0.5f, 1f), (a[0], a[1], b[0]));
    }

    [Fact]
    public void Half_tensors_are_float16()
    {
        Tensor<Half> weight = Tensor.Create([(Half)1, (Half)2]), gradient = Tensor.Create([(Half)1, (Half)1]);
        using ParameterSet set = ParameterSet.FromTensors([weight], [gradient]);
        Assert.Equal(DType.Float16, set.GetParameter(0).DType);
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 0.5 });
        sgd.Step();
        Assert.Equal(((Half)0.5f, (Half)1.5f), (weight[0], weight[1]));
    }

    [Fact]
    public void Slices_that_are_not_dense_are_refused_by_name()
    {
        Tensor<float> whole = Tensor.CreateFromShape<float>([3, 4]);
        Tensor<float> columns = whole.Slice([0..3, 0..2]), dense = Tensor.CreateFromShape<float>([3, 2]);
        ArgumentException parameter = Assert.Throws<ArgumentException>(() => ParameterSet.FromTensors([dense, columns], [dense, dense]));
        Assert.Equal("parameters", parameter.ParamName);
        Assert.Contains("parameters[1] has lengths [3, 2] and strides [4, 1]", parameter.Message, StringComparison.Ordinal);
        ArgumentException gradient = Assert.Throws<ArgumentException>(() => ParameterSet.FromTensors([dense], [columns]));
        Assert.Contains("gradients[0]", gradient.Message, StringComparison.Ordinal);
        Assert.Contains(
            "strides [4, 1]",
            Assert.Throws<ArgumentException>(() => whole.AsTensorSpan().Slice([0..3, 0..2]).AsTensorRef()).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Rows_of_a_tensor_are_dense_and_stepped_alone()
    {
        Tensor<float> whole = Tensor.CreateFromShape<float>([3, 2], pinned: true), gradient = Tensor.Create<float>([1, 1]);
        using ParameterSet set = ParameterSet.FromTensors([whole.Slice([1..2, 0..2])], [gradient]);
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 1 });
        sgd.Step();
        float[] flat = new float[6];
        whole.FlattenTo(flat);
        Assert.Equal([0, 0, -1, -1, 0, 0], flat);
    }

    [Fact]
    public void Other_elements_are_refused()
    {
        Tensor<double> weight = Tensor.CreateFromShape<double>([2]);
        Assert.Contains(
            "System.Double",
            Assert.Throws<NotSupportedException>(() => ParameterSet.FromTensors([weight], [weight])).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_refused_and_unpinned()
    {
        Tensor<float> two = Tensor.CreateFromShape<float>([2]), three = Tensor.CreateFromShape<float>([3]);
        Assert.Throws<ArgumentException>(() => ParameterSet.FromTensors([two], [three]));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromTensors<float>([], []));
        Assert.Throws<ArgumentNullException>(() => ParameterSet.FromTensors([two, null!], [two, two]));
        Assert.Throws<ArgumentNullException>(() => ParameterSet.FromTensors<float>(null!, []));
        using ParameterSet set = ParameterSet.FromTensors([two], [Tensor.CreateFromShape<float>([2])]);
        Assert.Equal(2, set.TotalElementCount);
    }

    [Fact]
    public void A_set_frees_its_tensors_when_it_and_its_optimizer_are_disposed_of()
    {
        List<Adam> optimizers = [];
        WeakReference values = MakeOptimizer(optimizers);
        Collect();
        Assert.True(values.IsAlive); // The optimizer has outlived the set and still needs the memory.
        DisposeOfAll(optimizers);
        Collect();
        Assert.False(values.IsAlive);
    }

    [Fact]
    public void Spans_over_memory_that_stays_are_tensors()
    {
        using DeviceBuffer<float> weight = new(Device.Cpu, 6), gradient = new(Device.Cpu, 6);
        TensorSpan<float> span = weight.AsTensorSpan(2, 3);
        gradient.AsTensorSpan(2, 3).Fill(1);
        Assert.Equal(new TensorRef(weight.Pointer, 6, DType.Float32, Device.Cpu), span.AsTensorRef());
        using ParameterSet set = ParameterSet.FromTensors([span.AsTensorRef()], [gradient.AsTensorSpan(6).AsTensorRef()]);
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 2 });
        sgd.Step();
        Assert.Equal(-2, span[1, 2]);
    }

    [Fact]
    public void Spans_of_16_bits_say_what_they_are()
    {
        using DeviceBuffer<ushort> bits = new(Device.Cpu, 4);
        TensorSpan<ushort> span = bits.AsTensorSpan(4);
        Assert.Equal(new TensorRef(bits.Pointer, 4, DType.BFloat16, Device.Cpu), span.AsTensorRef(DType.BFloat16));
        Assert.Throws<NotSupportedException>(() => bits.AsTensorSpan(4).AsTensorRef());
        Assert.Contains(
            "dtype is Float32; it must be a type whose elements have 2 bytes",
            Assert.Throws<ArgumentOutOfRangeException>(() => bits.AsTensorSpan(4).AsTensorRef(DType.Float32)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_shape_has_the_elements_of_its_buffer()
    {
        using DeviceBuffer<float> buffer = new(Device.Cpu, 6);
        ArgumentException exception = Assert.Throws<ArgumentException>(() => _ = buffer.AsTensorSpan(2, 2));
        Assert.Contains("The shape has 4 elements, but the buffer has 6", exception.Message, StringComparison.Ordinal);
        DeviceBuffer<float> disposed = new(Device.Cpu, 1);
        disposed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _ = disposed.AsTensorSpan(1));
    }

    // These are no part of the test, whose frame would keep what it has once seen.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference MakeOptimizer(List<Adam> optimizers)
    {
        float[] values = new float[4];
        ParameterSet set = ParameterSet.FromTensors([Tensor.Create(values)], [Tensor.CreateFromShape<float>([4])]);
        optimizers.Add(new Adam(set));
        set.Dispose();
        return new WeakReference(values);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void DisposeOfAll(List<Adam> optimizers)
    {
        optimizers.ForEach(static optimizer => optimizer.Dispose());
        optimizers.Clear();
    }

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }
}
