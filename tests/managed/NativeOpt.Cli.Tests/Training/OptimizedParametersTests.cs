using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

public sealed class OptimizedParametersTests
{
    [Fact]
    public void Copies_on_a_device_and_the_models_own_arrays_come_to_the_same_bits()
    {
        // Buffers of the CPU stand for those of a GPU.
        Assert.Equal(Train(inPlace: true), Train(inPlace: false));
    }

    [Fact]
    public void Weights_decay_and_biases_do_not()
    {
        GptParameter weight = new("weight", 2, 2), bias = new("bias", 2);
        weight.Value.AsSpan().Fill(1);
        bias.Value.AsSpan().Fill(1);
        using OptimizedParameters parameters = new([weight, bias], Device.Cpu, inPlace: true);
        using AdamW optimizer = new(parameters.Set, new AdamWOptions { LearningRate = 0.5, WeightDecay = 0.5 });
        parameters.Update(optimizer.Step);
        Assert.All(weight.Value, static value => Assert.Equal(0.75f, value));
        Assert.All(bias.Value, static value => Assert.Equal(1f, value));
    }

    private static float[] Train(bool inPlace)
    {
        var model = new Gpt(new GptConfig(7, 8, 1, 2, 8), maximumBatch: 1, seed: 3);
        using OptimizedParameters parameters = new(model.Parameters, Device.Cpu, inPlace);
        using Adam optimizer = new(parameters.Set, new AdamOptions { LearningRate = 0.01 });
        int[] inputs = [0, 1, 2, 3, 4, 5, 6, 0];
        int[] targets = [1, 2, 3, 4, 5, 6, 0, 1];
        for (int step = 0; step < 5; step++)
        {
            model.ForwardBackward(inputs, targets, 1);
            parameters.Update(optimizer.Step);
        }

        Assert.True(model.Forward(inputs, targets, 1) < 1.8f); // ln 7 is 1.95
        return [.. model.Parameters.SelectMany(static parameter => parameter.Value)];
    }
}
