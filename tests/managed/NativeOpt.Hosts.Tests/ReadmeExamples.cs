using System.Numerics.Tensors;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using Xunit;

namespace NativeOpt.Hosts.Tests;

/// <summary>The examples of the readmes in packaging/readme, compiled and run.</summary>
public class ReadmeExamples
{
    [Fact]
    public void Buffers_of_ilgpu()
    {
        using Context context = Context.Create(builder => builder.CPU()); // or builder.Cuda()
        using Accelerator accelerator = context.GetPreferredDevice(preferCPU: false).CreateAccelerator(context);
        using MemoryBuffer1D<float, Stride1D.Dense> weights = accelerator.Allocate1D(new float[] { 3, -2 }), gradients = accelerator.Allocate1D<float>(2);
        var kernel = accelerator.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>>(
            static (i, weights, gradients) => gradients[i] = 2 * weights[i]); // of the sum of squares
        using ParameterSet parameters = ParameterSet.FromBuffers([weights], [gradients]);
        using AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = 0.1 });
        for (int step = 0; step < 200; step++)
        {
            kernel(2, weights.View, gradients.View);
            optimizer.Step(accelerator.DefaultStream); // after the kernel, on the same stream
        }

        Assert.All(weights.GetAsArray1D(), static weight => Assert.InRange(weight, -0.05f, 0.05f));
    }

    [Fact]
    public void Tensors()
    {
        Tensor<float> weights = Tensor.Create<float>([3, -2, 1, 0.5f], [2, 2]), gradients = Tensor.CreateFromShape<float>([2, 2]);
        using ParameterSet parameters = ParameterSet.FromTensors([weights], [gradients]);
        using AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = 0.1 });
        for (int step = 0; step < 200; step++)
        {
            Tensor.Multiply<float>(weights, 2, gradients); // of the sum of squares
            optimizer.Step();
        }

        Assert.All(weights.ToArray(), static weight => Assert.InRange(weight, -0.05f, 0.05f));
    }
}
