using NativeOpt.Tests.Optimizers;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Documentation;

/// <summary>The examples of docs/tasks.md, compiled and run.</summary>
[Collection(ProcessWideSettings.Name)]
public class TaskExamples
{
    [Fact]
    public void Schedules()
    {
        float[] weights = [1], gradients = [0];
        using ParameterSet parameters = ParameterSet.FromArrays([weights], [gradients]);
        using Adam optimizer = new(parameters, new AdamOptions());
        LearningRateSchedule schedule = new(peak: 3e-3, steps: 200, warmupSteps: 20);
        for (int step = 0; step < 200; step++)
        {
            Backward();
            optimizer.LearningRate = schedule.At(step);
            optimizer.Step();
        }

        // Gradients that do not change: each step is the learning rate.
        double expected = 1 - Enumerable.Range(0, 200).Sum(step => schedule.At(step));
        Assert.InRange(weights[0], expected - 1e-4, expected + 1e-4);

        void Backward() => gradients[0] = 1;
    }

    [Fact]
    public void Clipping()
    {
        using ParameterSet parameters = ParameterSet.FromArrays([[0, 0]], [[3, 4]]);
        using Sgd optimizer = new(parameters, new SgdOptions());
        optimizer.GradientOptions = new GradientOptions { MaxNorm = 1, SkipNonFinite = true };
        optimizer.Step();
        GradientStatus status = optimizer.GetGradientStatus();
        Console.WriteLine($"norm {status.Norm}, times {status.ClipCoefficient}, {status.SkippedSteps} skipped");

        Assert.Equal(5, status.Norm);
        Assert.InRange(status.ClipCoefficient, 0.1999, 0.2001);
        Assert.Equal(0, status.SkippedSteps);
    }

    [Fact]
    public void Rates_and_decays_by_tensor()
    {
        float[][] weights = [[1], [1], [1]], gradients = [[0], [0], [0]];
        TensorOptions[] options =
        [
            new() { Name = "embedding", LearningRateScale = 0.5 },
            new() { Name = "weight" },
            new() { Name = "bias", WeightDecay = 0 },
        ];
        using ParameterSet parameters = ParameterSet.FromArrays(weights, gradients, options);
        using AdamW optimizer = new(parameters, new AdamWOptions { WeightDecay = 0.1 });

        optimizer.Step(); // no gradients: decay alone
        Assert.Equal([1 - 0.5e-4f, 1 - 1e-4f, 1], weights.Select(static weight => weight[0]));
    }

    [Fact]
    public void Freezing()
    {
        using DeviceBuffer<float> ones = new(Device.Cpu, 2);
        ones.Fill(1);
        (nint bodyGradient, nint headGradient) = (ones.Pointer, ones.Pointer + sizeof(float));
        float[] embedding = [1], body = [1], head = [1];
        using ParameterSet parameters = ParameterSet.FromArrays([embedding, body, head], [new float[1], new float[1], new float[1]]);
        using Adam optimizer = new(parameters, new AdamOptions());
        parameters.SetGradients([0, bodyGradient, headGradient]); // the embedding is frozen
        optimizer.Step();

        Assert.Equal(1, embedding[0]);
        Assert.All([body[0], head[0]], static value => Assert.InRange(value, 0.9989f, 0.9991f));
        Assert.Equal(0, optimizer.GetStepCount(0));
    }

    [Fact]
    public void Loss_scales()
    {
        float[] weights = [1], gradients = [0];
        using ParameterSet parameters = ParameterSet.FromArrays([weights], [gradients]);
        using Sgd optimizer = new(parameters, new SgdOptions { LearningRate = 0.1 });
        GradScaler scaler = new();
        for (int step = 0; step < 100; step++)
        {
            Backward(scaler.Scale); // of the loss times the scale
            scaler.Step(optimizer); // skipped where a gradient overflowed
            scaler.Update();
        }

        Assert.InRange(weights[0], 0, 1e-4f);

        void Backward(double scale) => gradients[0] = (float)(weights[0] * scale); // of the loss w²/2
    }

    [Fact]
    public void Saving()
    {
        using TemporaryFolder folder = new();
        string previous = Environment.CurrentDirectory;
        Environment.CurrentDirectory = folder.Path;
        try
        {
            float[] weights = [1, 2], restored = [0, 0];
            Run(weights);
            Resume(restored);
            Assert.Equal(weights, restored);
        }
        finally
        {
            Environment.CurrentDirectory = previous;
        }

        // A step before the file is written, and one after.
        static void Run(float[] weights)
        {
            using ParameterSet parameters = ParameterSet.FromArrays([weights], [[1, -1]]);
            using AdamW optimizer = new(parameters, new AdamWOptions());
            optimizer.Step();
            optimizer.Save("run.safetensors", includeParameters: true);
            optimizer.Step();
        }

        static void Resume(float[] weights)
        {
            AdamWOptions options = new();
            using ParameterSet parameters = ParameterSet.FromArrays([weights], [[1, -1]]);
            using AdamW resumed = new(parameters, options);
            resumed.Load("run.safetensors"); // the steps from here on have the bits that the first run would have had
            resumed.Step();
        }
    }
}
