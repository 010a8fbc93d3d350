using NativeOpt.Tests.Optimizers;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Documentation;

/// <summary>The README's C# examples, compiled and run.</summary>
[Collection(ProcessWideSettings.Name)]
public sealed class ReadmeExamples
{
    [Fact]
    public void Plain_arrays()
    {
        float[][] weights = [[1f, -2f, 3f], [0.5f]], gradients = [new float[3], new float[1]];
        using ParameterSet parameters = ParameterSet.FromArrays(weights, gradients); // pinned, not copied
        using AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = 0.01 });
        for (int step = 0; step < 500; step++)
        {
            ComputeGradients(weights, gradients); // your trainer fills the gradients
            optimizer.Step(); // one native call for all tensors
        }

        Assert.All(weights.SelectMany(static tensor => tensor), static value => Assert.InRange(value, -0.2f, 0.2f));

        // Those of the sum of squares.
        static void ComputeGradients(float[][] weights, float[][] gradients)
        {
            for (int tensor = 0; tensor < weights.Length; tensor++)
            {
                for (int i = 0; i < weights[tensor].Length; i++)
                {
                    gradients[tensor][i] = 2 * weights[tensor][i];
                }
            }
        }
    }

    [Fact]
    public void Addresses()
    {
        Device device = Device.Cpu;
        DeviceStream stream = DeviceStream.Default;
        using DeviceBuffer<float> weights = new(device, 1024);
        using DeviceBuffer<float> biases = new(device, 10);
        using DeviceBuffer<float> ones = new(device, 1024);
        using DeviceBuffer<float> otherOnes = new(device, 10);
        ones.Fill(1);
        otherOnes.Fill(1);
        nint weightPointer = weights.Pointer;
        nint biasPointer = biases.Pointer;

        // The example names a file and no folder.
        using TemporaryFolder folder = new();
        string previous = Environment.CurrentDirectory;
        Environment.CurrentDirectory = folder.Path;
        try
        {
            TensorRef weight = TensorRef.FromPointer(weightPointer, 1024, device); // Device.Cpu or Device.Cuda(0)
            TensorRef bias = TensorRef.FromPointer(biasPointer, 10, device);
            TensorOptions[] options = [new() { Name = "weight" }, new() { Name = "bias", WeightDecay = 0 }];
            using ParameterSet parameters = new([weight, bias], options);
            using DualAdam optimizer = new(parameters, new DualAdamOptions { LearningRate = 1e-3, SwitchingRate = 1e-3 });
            for (int step = 0; step < 100; step++)
            {
                nint[] gradients = Backward(); // frameworks reallocate gradients: give their addresses every step
                parameters.SetGradients(gradients);
                optimizer.LearningRate = 1e-3 * (1 - step / 100.0);
                optimizer.Step(stream); // DeviceStream.Default, or FromPointer(cudaStream)
            }

            optimizer.Save("state.safetensors"); // a run that loads it goes on with the same bits

            Assert.True(File.Exists("state.safetensors"));
        }
        finally
        {
            Environment.CurrentDirectory = previous;
        }

        Assert.All(weights.AsSpan().ToArray().Concat(biases.AsSpan().ToArray()), static value => Assert.True(value < 0));

        nint[] Backward() => [ones.Pointer, otherOnes.Pointer];
    }

    [Fact]
    public void Dimer()
    {
        // x² - y²/4 + (x² + y²)²/4, near its saddle point.
        float[] point = [0.5f, 1e-3f];
        float[] gradient = new float[2];
        int evaluations = 0;
        using ParameterSet parameters = ParameterSet.FromArrays([point], [gradient]);
        using Sgd optimizer = new(parameters, new SgdOptions { LearningRate = 0.01 });
        using DimerOptimizer dimer = new(optimizer, DimerOptions.Recommended);
        for (int step = 0; step < 400; step++)
        {
            // The closure computes the gradients where the parameters are when it is called: more than once in some steps.
            float loss = dimer.Step(() => LossAndGradients());
        }

        double curvature = dimer.GetStatus().Curvature; // of the loss along the direction

        Assert.Equal(400 + (2 * 20), evaluations);
        Assert.True(Math.Abs(point[1]) > 0.1f); // SGD alone would be at 1.005^400 thousandths
        Assert.True(double.IsFinite(curvature));

        float LossAndGradients()
        {
            evaluations++;
            float x = point[0], y = point[1], square = (x * x) + (y * y);
            gradient[0] = (2 * x) + (square * x);
            gradient[1] = (-0.5f * y) + (square * y);
            return (x * x) - (y * y / 4) + (square * square / 4);
        }
    }
}
