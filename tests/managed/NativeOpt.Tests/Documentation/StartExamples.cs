using Xunit;

namespace NativeOpt.Tests.Documentation;

/// <summary>The examples of docs/start.md, docs/memory.md and docs/precision.md, compiled and run.</summary>
public class StartExamples
{
    [Fact]
    public void Arrays()
    {
        float[] weights = [3, -2], gradients = new float[2];
        using ParameterSet parameters = ParameterSet.FromArrays([weights], [gradients]); // pinned, not copied
        using AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = 0.1 });
        for (int step = 0; step < 200; step++)
        {
            (gradients[0], gradients[1]) = (2 * weights[0], 2 * weights[1]); // of the loss w0² + w1²
            optimizer.Step();
        }

        Assert.All(weights, static weight => Assert.InRange(weight, -0.05f, 0.05f));
    }

    [Fact]
    public void Addresses()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 12), gradientMemory = new(Device.Cpu, 12);
        gradientMemory.Fill(1);
        nint[] pointers = [memory.Pointer, memory.Pointer + 16];
        long[] counts = [4, 2];
        TensorRef[] tensors = [.. pointers.Zip(counts, (pointer, count) => TensorRef.FromPointer(pointer, count, Device.Cpu))];
        using ParameterSet parameters = new(tensors);
        using Adam optimizer = new(parameters, new AdamOptions());
        for (int step = 0; step < 10; step++)
        {
            parameters.SetGradients(Backward()); // addresses; 0 freezes a tensor in this step
            optimizer.Step();
        }

        (nint[] newPointers, nint[] newGradients) = Move();
        parameters.Rebind(newPointers, newGradients); // both moved: what is new here may lie where the other was

        optimizer.Step();
        float[] values = memory.AsSpan().ToArray();
        Assert.All(values[..4], static value => Assert.InRange(value, -0.0101f, -0.0099f)); // ten steps of the learning rate
        Assert.All(values[4..6], static value => Assert.Equal(0, value)); // frozen
        Assert.All(values[6..12], static value => Assert.InRange(value, -0.00101f, -0.00099f)); // where they moved to

        nint[] Backward() => [gradientMemory.Pointer, 0];

        (nint[], nint[]) Move() =>
            ([memory.Pointer + 24, memory.Pointer + 40], [gradientMemory.Pointer + 24, gradientMemory.Pointer + 40]);
    }

    [Fact]
    public void Parameters_of_16_bits()
    {
        Device device = Device.Cpu;
        using DeviceBuffer<ushort> weights = new(device, 1024);
        TensorRef weight = TensorRef.FromDeviceBuffer(weights, DType.BFloat16); // or FromPointer(address, 1024, DType.BFloat16, device)
        using ParameterSet parameters = new([weight], [new TensorOptions { GradientType = DType.Float32 }]);
        using AdamW optimizer = new(parameters, new AdamWOptions { MasterWeights = MasterWeights.Remainder });

        using DeviceBuffer<float> gradients = new(device, 1024);
        gradients.Fill(1);
        parameters.SetGradients([gradients]);
        optimizer.Step();
        float[] values = new float[1024];
        weight.CopyTo(values);
        Assert.All(values, static value => Assert.InRange(value, -0.00101f, -0.00099f));
    }

    [Fact]
    public void Types_by_state()
    {
        AdamWOptions options = new()
        {
            StateTypes = new Dictionary<StateRole, DType> { [StateRole.ExpAvg] = DType.BFloat16 }, // exp_avg_sq stays float32
        };

        using ParameterSet parameters = ParameterSet.FromArrays([[1, 2]], [[1, 1]]);
        using AdamW optimizer = new(parameters, options);
        optimizer.Step();
        Assert.Equal(DType.BFloat16, optimizer.GetState(StateRole.ExpAvg, 0).DType);
        Assert.Equal(DType.Float32, optimizer.GetState(StateRole.ExpAvgSq, 0).DType);
    }

    [Fact]
    public void Memory()
    {
        AdamWOptions options = new() { MasterWeights = MasterWeights.Remainder };
        OptimizerMemory memory = OptimizerMemory.Of(options, [new TensorSpec(1_000_000, DType.BFloat16)]);
        Console.WriteLine(memory.TotalBytes); // 10,000,000: 4 for each of exp_avg and exp_avg_sq, 2 for param_remainder

        Assert.Equal(10_000_000, memory.TotalBytes);
    }
}
