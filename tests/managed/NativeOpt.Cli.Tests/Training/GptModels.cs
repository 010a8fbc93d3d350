using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>Models for tests of derivatives.</summary>
internal static class GptModels
{
    /// <summary>A model far from its initialisation: attention that prefers, gains and biases that matter.</summary>
    public static (Gpt Model, int[] Inputs, int[] Targets) FarFromInitialisation(
        int vocabulary, int context, int layers, int heads, int width, int batch, int time)
    {
        var model = new Gpt(new GptConfig(vocabulary, context, layers, heads, width), batch, seed: 1);
        var random = new DeterministicRandom(2);
        foreach (GptParameter parameter in model.Parameters)
        {
            foreach (ref float value in parameter.Value.AsSpan())
            {
                value += (float)(0.3 * random.NextNormal());
            }
        }

        int[] tokens = [.. Enumerable.Range(0, 2 * batch * time).Select(_ => random.NextInt32(vocabulary))];
        return (model, tokens[..(batch * time)], tokens[(batch * time)..]);
    }
}
