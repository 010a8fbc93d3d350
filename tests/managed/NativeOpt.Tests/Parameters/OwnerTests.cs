using Xunit;

namespace NativeOpt.Tests.Parameters;

/// <summary>Sets over tensors of a host, the owners of their memory, and tensors by the type of their elements.</summary>
public sealed class OwnerTests : IDisposable
{
    private readonly DeviceBuffer<float> _parameter = new(Device.Cpu, 4);
    private readonly DeviceBuffer<float> _gradient = new(Device.Cpu, 4);

    public void Dispose()
    {
        _parameter.Dispose();
        _gradient.Dispose();
    }

    [Fact]
    public void A_set_of_tensors_has_gradients_and_steps()
    {
        _gradient.Fill(1);
        using ParameterSet set = ParameterSet.FromTensors([_parameter], [_gradient], [new TensorOptions { Name = "weight" }]);
        using Sgd sgd = new(set, new SgdOptions { LearningRate = 2 });
        sgd.Step();
        Assert.Equal([-2, -2, -2, -2], _parameter.AsSpan().ToArray());
        Assert.Equal(["weight"], set.Names);
    }

    [Fact]
    public void An_owner_is_disposed_of_once_when_set_and_optimizer_are()
    {
        Owner owner = new();
        ParameterSet set = ParameterSet.FromTensors([_parameter], [_gradient], owner: owner);
        Sgd sgd = new(set);
        set.Dispose();
        Assert.Equal(0, owner.Disposals); // The optimizer still has the set's tensors.
        sgd.Dispose();
        Assert.Equal(1, owner.Disposals);
        set.Dispose();
        sgd.Dispose();
        Assert.Equal(1, owner.Disposals);
    }

    [Fact]
    public void An_owner_is_disposed_of_if_there_is_no_set()
    {
        Owner[] owners = [new(), new(), new(), new()];
        TensorRef weight = _parameter, gradient = _gradient;
        Assert.Throws<ArgumentException>(() => ParameterSet.FromTensors([], [], owner: owners[0]));
        Assert.Throws<ArgumentException>(
            () => ParameterSet.FromTensors([weight], [gradient with { ElementCount = 3 }], owner: owners[1]));
        Assert.Throws<ArgumentException>(
            () => ParameterSet.FromTensors([weight with { Pointer = weight.Pointer + 1 }], [gradient], owner: owners[2]));
        Assert.Throws<ArgumentException>(
            () => ParameterSet.FromTensors([weight], [gradient], [new TensorOptions(), new TensorOptions()], owners[3]));
        Assert.All(owners, static owner => Assert.Equal(1, owner.Disposals));
    }

    [Fact]
    public void Element_types_follow_from_the_types_of_dotnet()
    {
        Assert.Equal(DType.Float32, DTypes.Of<float>());
        Assert.Equal(DType.Float16, DTypes.Of<Half>());
        Assert.Contains(
            "System.UInt16", Assert.Throws<NotSupportedException>(() => DTypes.Of<ushort>()).Message, StringComparison.Ordinal);
        Assert.Equal(new TensorRef(64, 3, DType.Float16, Device.Cuda(1)), TensorRef.FromPointer<Half>(64, 3, Device.Cuda(1)));
        Assert.Equal(new TensorRef(64, 3, DType.BFloat16, Device.Cpu), TensorRef.FromPointer<short>(64, 3, DType.BFloat16));
        foreach (DType other in new[] { DType.Float32, DType.Dynamic8 })
        {
            ArgumentOutOfRangeException exception =
                Assert.Throws<ArgumentOutOfRangeException>(() => TensorRef.FromPointer<ushort>(64, 3, other));
            Assert.Equal("dtype", exception.ParamName);
            Assert.Contains($"dtype is {other}", exception.Message, StringComparison.Ordinal);
        }
    }

    private sealed class Owner : IDisposable
    {
        public int Disposals { get; private set; }

        public void Dispose() => Disposals++;
    }
}
