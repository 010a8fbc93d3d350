using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

public sealed class OptimizedParametersTests
{
    private static readonly int[] _inputs = [0, 1, 2, 3, 4, 5, 6, 0];
    private static readonly int[] _targets = [1, 2, 3, 4, 5, 6, 0, 1];

    [Fact]
    public void Copies_on_a_device_and_the_models_own_arrays_come_to_the_same_bits()
    {
        // Buffers of the CPU stand for those of a GPU.
        Assert.Equal(Train(inPlace: true), Train(inPlace: false));
    }

    /// <summary>The trained weights are those of a run that was saved, ended and went on from the file.</summary>
    [Theory]
    [InlineData(MasterWeights.None)]
    [InlineData(MasterWeights.Float32)]
    [InlineData(MasterWeights.Remainder)]
    public void Bfloat16_parameters_resume_bit_for_bit(MasterWeights master)
    {
        using TemporaryFolder folder = new();
        string file = folder.File("state.safetensors");
        float[] expected = Run(model: 3, first: 0, last: 6, static (_, _) => { });
        Run(model: 3, first: 0, last: 3, (_, optimizer) => optimizer.Save(file, includeParameters: true));

        // Another model, so that nothing can be right but by the file.
        float[] resumed = Run(
            model: 4, first: 3, last: 6, (parameters, optimizer) => parameters.Update(() => optimizer.Load(file)));
        Assert.Equal(expected, resumed);
        Assert.All(expected, static value => Assert.Equal(0u, BitConverter.SingleToUInt32Bits(value) & 0xFFFF));

        float[] Run(ulong model, int first, int last, Action<OptimizedParameters, Optimizer> file)
        {
            var gpt = new Gpt(new GptConfig(7, 8, 1, 2, 8), maximumBatch: 1, seed: model);
            using OptimizedParameters parameters = new(gpt.Parameters, Device.Cpu, inPlace: false, DType.BFloat16);
            using Adam optimizer = new(
                parameters.Set, new AdamOptions { LearningRate = 0.01, MasterWeights = master });
            if (first > 0)
            {
                file(parameters, optimizer);
            }

            for (int step = first; step < last; step++)
            {
                gpt.ForwardBackward(_inputs, _targets, 1);
                parameters.Update(optimizer.Step);
            }

            if (first == 0)
            {
                file(parameters, optimizer);
            }

            return [.. gpt.Parameters.SelectMany(static parameter => parameter.Value)];
        }
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
        for (int step = 0; step < 5; step++)
        {
            model.ForwardBackward(_inputs, _targets, 1);
            parameters.Update(optimizer.Step);
        }

        Assert.True(model.Forward(_inputs, _targets, 1) < 1.8f); // ln 7 is 1.95
        return [.. model.Parameters.SelectMany(static parameter => parameter.Value)];
    }
}
