using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>What a trainer relies on: names, initial weights, determinism, learning, sampling and clear errors.
/// </summary>
public sealed class GptTests
{
    private static readonly GptConfig _small = new(13, 16, 2, 2, 32);

    [Fact]
    public void ParametersHaveTheNamesAndShapesOfGpt2()
    {
        var model = new Gpt(_small, 2, seed: 1);
        string[] expected =
        [
            "wte 13x32", "wpe 16x32",
            .. Enumerable.Range(0, 2).SelectMany(static i => new[]
            {
                $"h.{i}.ln_1.weight 32", $"h.{i}.ln_1.bias 32",
                $"h.{i}.attn.c_attn.weight 96x32", $"h.{i}.attn.c_attn.bias 96",
                $"h.{i}.attn.c_proj.weight 32x32", $"h.{i}.attn.c_proj.bias 32",
                $"h.{i}.ln_2.weight 32", $"h.{i}.ln_2.bias 32",
                $"h.{i}.mlp.c_fc.weight 128x32", $"h.{i}.mlp.c_fc.bias 128",
                $"h.{i}.mlp.c_proj.weight 32x128", $"h.{i}.mlp.c_proj.bias 32",
            }),
            "ln_f.weight 32", "ln_f.bias 32",
        ];
        Assert.Equal(expected, model.Parameters.Select(static p => $"{p.Name} {string.Join('x', p.Shape)}"));
        Assert.All(model.Parameters, static p => Assert.Equal(p.Shape.Length == 2, p.IsMatrix));
        Assert.All(model.Parameters, static p => Assert.Equal(p.Value.Length, p.Shape.Aggregate(1, (a, b) => a * b)));
        Assert.Equal(model.Parameters.Sum(static p => p.Value.Length), model.ParameterCount);
    }

    /// <summary>The probabilities are those that the losses say: p of a token is exp(−loss) where it is the target.</summary>
    [Fact]
    public void DrawnTargetsAreAsFrequentAsTheModelExpects()
    {
        const int vocabulary = 4, draws = 4000;
        (Gpt model, _, _) = GptModels.FarFromInitialisation(vocabulary, context: 1, layers: 1, heads: 1, width: 8, batch: draws, time: 1);
        int[] inputs = [.. Enumerable.Repeat(2, draws)];
        int[] targets = new int[draws];
        model.DrawTargets(inputs, draws, new DeterministicRandom(1), targets);
        for (int token = 0; token < vocabulary; token++)
        {
            double expected = Math.Exp(-model.Forward(inputs.AsSpan(0, 1), [token], batch: 1));
            double deviation = Math.Sqrt(expected * (1 - expected) / draws);
            Assert.InRange(
                targets.Count(own => own == token) / (double)draws, expected - (5 * deviation) - 1e-6, expected + (5 * deviation) + 1e-6);
        }

        int[] again = new int[draws];
        model.DrawTargets(inputs, draws, new DeterministicRandom(1), again);
        Assert.Equal(targets, again);
        model.DrawTargets(inputs, draws, new DeterministicRandom(2), again);
        Assert.NotEqual(targets, again);
    }

    [Fact]
    public void InitialWeightsAreThoseOfGpt2()
    {
        var model = new Gpt(GptConfig.Default(96), 1, seed: 1);
        foreach (GptParameter parameter in model.Parameters)
        {
            bool gain = parameter.Name.Contains("ln_") && parameter.Name.EndsWith("weight");
            bool residual = parameter.Name.EndsWith("c_proj.weight");
            double deviation = residual ? 0.02 / Math.Sqrt(2.0 * model.Config.Layers) : 0.02;
            if (parameter.IsMatrix)
            {
                Assert.Equal(0, parameter.Value.Average(), 0.1 * deviation);
                double actual = Math.Sqrt(parameter.Value.Average(static v => (double)v * v));
                Assert.Equal(deviation, actual, 0.05 * deviation);
            }
            else
            {
                Assert.All(parameter.Value, value => Assert.Equal(gain ? 1f : 0f, value));
            }
        }
    }

    [Fact]
    public void UntrainedModelIsAboutAsGoodAsGuessing()
    {
        (int[] inputs, int[] targets) = Tokens(_small, 4, 0);
        Assert.Equal(Math.Log(13), new Gpt(_small, 4, seed: 1).Forward(inputs, targets, 4), 0.1);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void ThreadsNeverChangeABit(int threads)
    {
        // Wide enough that products have several row blocks and depth blocks, and sums several slices.
        var config = new GptConfig(70, 33, 1, 4, 80);
        uint[] one = Train(config, batch: 9, threads: 1, steps: 3);
        Assert.Equal(one, Train(config, batch: 9, threads, steps: 3));
        Assert.Equal(one, Train(config, batch: 9, threads, steps: 3));
    }

    [Fact]
    public void SeedSelectsTheWeights()
    {
        (int[] inputs, int[] targets) = Tokens(_small, 4, 0);
        float loss = new Gpt(_small, 4, seed: 1).Forward(inputs, targets, 4);
        Assert.Equal(loss, new Gpt(_small, 4, seed: 1).Forward(inputs, targets, 4));
        Assert.NotEqual(loss, new Gpt(_small, 4, seed: 2).Forward(inputs, targets, 4));
    }

    [Fact]
    public void CopiedModelComputesTheSame()
    {
        (int[] inputs, int[] targets) = Tokens(_small, 4, 0);
        var model = new Gpt(_small, 4, seed: 1);
        var copy = new Gpt(_small, 4, seed: 2);
        copy.CopyParametersFrom(model);
        Assert.Equal(model.Forward(inputs, targets, 4), copy.Forward(inputs, targets, 4));
        var other = new Gpt(_small with { Width = 16 }, 4, seed: 1);
        Assert.Throws<ArgumentException>(() => other.CopyParametersFrom(model));
    }

    [Fact]
    public void SequencesOfABatchDoNotInfluenceEachOther()
    {
        (int[] inputs, int[] targets) = Tokens(_small, 3, 0);
        var model = new Gpt(_small, 3, seed: 1);
        int time = _small.ContextLength;
        float together = model.Forward(inputs, targets, 3);
        float apart = Enumerable.Range(0, 3).Average(
            i => model.Forward(inputs.AsSpan(i * time, time), targets.AsSpan(i * time, time), 1));
        Assert.Equal(together, apart, 1e-6f);
    }

    [Fact]
    public void TrainingStepAllocatesNothing()
    {
        (int[] inputs, int[] targets) = Tokens(_small, 4, 0);
        var model = new Gpt(_small, 4, seed: 1) { Threads = 2 };
        for (int warmUp = 0; warmUp < 5; warmUp++)
        {
            model.ForwardBackward(inputs, targets, 4);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 0; step < 10; step++)
        {
            model.ForwardBackward(inputs, targets, 4);
        }

        // Starting to wait for a lock may allocate a little once; an array per step would be far more.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1024);
    }

    [Fact]
    public void LearnsToCopyAPattern()
    {
        const string Pattern = "abcdefgh.";
        var dataset = new TextDataset(string.Concat(Enumerable.Repeat(Pattern, 60)), 16);
        var model = new Gpt(new GptConfig(dataset.Tokenizer.VocabularySize, 16, 1, 2, 32), 8, seed: 1);
        int[] inputs = new int[8 * 16];
        int[] targets = new int[8 * 16];
        float loss = float.NaN;
        for (int step = 0; step < 150; step++)
        {
            dataset.FillTrainingBatch(3, step, inputs, targets);
            loss = model.ForwardBackward(inputs, targets, 8);
            Descend(model, 0.5f);
        }

        Assert.InRange(loss, 0, 0.05f);
        Assert.Equal("efgh.abcdefgh.abc", model.Sample(dataset.Tokenizer, "abcd", 17, temperature: 0));
        Assert.Equal("efgh.abcdefgh.abc", model.Sample(dataset.Tokenizer, "abcd", 17, temperature: 0.5f, seed: 4));
    }

    [Fact]
    public void SamplesFollowSeedAndTemperature()
    {
        var model = new Gpt(_small, 1, seed: 1);
        int[] prompt = [1, 2];
        int[] first = model.Generate(prompt, 40, 1, seed: 5);
        Assert.Equal(40, first.Length);
        Assert.All(first, static token => Assert.InRange(token, 0, 12));
        Assert.Equal(first, model.Generate(prompt, 40, 1, seed: 5));
        Assert.NotEqual(first, model.Generate(prompt, 40, 1, seed: 6));
        Assert.Equal(model.Generate(prompt, 9, 0, seed: 5), model.Generate(prompt, 9, 0, seed: 6));
        Assert.Empty(model.Generate(prompt, 0, 1, seed: 5));
    }

    [Fact]
    public void WrongArgumentsAreRefused()
    {
        var model = new Gpt(_small, 2, seed: 1);
        int[] tokens = new int[3 * 16];
        Assert.Throws<ArgumentException>(() => model.Forward(tokens, tokens, 3));
        Assert.Throws<ArgumentException>(() => model.Forward(tokens.AsSpan(0, 17), tokens.AsSpan(0, 17), 1));
        Assert.Throws<ArgumentException>(() => model.Forward(tokens.AsSpan(0, 15), tokens.AsSpan(0, 15), 2));
        Assert.Throws<ArgumentException>(() => model.Forward(tokens.AsSpan(0, 16), tokens.AsSpan(0, 15), 1));
        Assert.Throws<ArgumentException>(() => model.Forward([], [], 1));
        Assert.Throws<ArgumentException>(() => model.Forward([13], [0], 1));
        Assert.Throws<ArgumentException>(() => model.Forward([0], [-1], 1));
        Assert.Throws<ArgumentException>(() => model.Generate([], 1, 1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Generate([0], 1, float.NaN, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Threads = 0);
        Assert.Throws<ArgumentException>(() => new Gpt(_small with { Heads = 3 }, 2, seed: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Gpt(_small with { Layers = 0 }, 2, seed: 1));
    }

    private static (int[] Inputs, int[] Targets) Tokens(GptConfig config, int batch, ulong step)
    {
        var random = new DeterministicRandom(11, step);
        int[] tokens = new int[batch * config.ContextLength];
        int[] targets = new int[tokens.Length];
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = random.NextInt32(config.VocabularySize);
            targets[i] = random.NextInt32(config.VocabularySize);
        }

        return (tokens, targets);
    }

    private static uint[] Train(GptConfig config, int batch, int threads, int steps)
    {
        var model = new Gpt(config, batch, seed: 1) { Threads = threads };
        var bits = new List<uint>();
        for (int step = 0; step < steps; step++)
        {
            (int[] inputs, int[] targets) = Tokens(config, batch, (ulong)step);
            bits.Add(BitConverter.SingleToUInt32Bits(model.ForwardBackward(inputs, targets, batch)));
            Descend(model, 0.5f);
        }

        bits.AddRange(model.Parameters.SelectMany(static p => p.Value).Select(BitConverter.SingleToUInt32Bits));
        return [.. bits];
    }

    private static void Descend(Gpt model, float rate)
    {
        foreach (GptParameter parameter in model.Parameters)
        {
            for (int i = 0; i < parameter.Value.Length; i++)
            {
                parameter.Value[i] -= rate * parameter.Gradient[i];
            }
        }
    }
}
