namespace NativeOpt.Cli.Training;

/// <summary>The shape of a <see cref="Gpt"/>.</summary>
/// <param name="VocabularySize">Number of distinct tokens.</param>
/// <param name="ContextLength">The most tokens that the model sees at once.</param>
/// <param name="Layers">Number of blocks.</param>
/// <param name="Heads">Attention heads of a block; divides <paramref name="Width"/>.</param>
/// <param name="Width">Numbers that represent one token between the blocks.</param>
internal sealed record GptConfig(int VocabularySize, int ContextLength, int Layers, int Heads, int Width)
{
    /// <summary>What <c>nativeopt train</c> trains when nothing else is asked for: 0.4 million parameters, which learn
    /// in a minute or two on two cores.</summary>
    public static GptConfig Default(int vocabularySize) => new(vocabularySize, 64, 2, 4, 128);

    /// <summary>For a quick look: it learns in seconds.</summary>
    public static GptConfig Tiny(int vocabularySize) => new(vocabularySize, 32, 1, 2, 32);

    /// <summary>The toy Transformer of the DEO paper (arXiv 2507.19968): 6.5 million parameters or so.</summary>
    public static GptConfig Deo(int vocabularySize) => new(vocabularySize, 64, 8, 8, 256);

    /// <summary>Numbers that one attention head works on.</summary>
    public int HeadWidth => Width / Heads;

    /// <summary>The name and the shape of each tensor, in the order of <see cref="Gpt.Parameters"/>, without a model.</summary>
    public IEnumerable<(string Name, long[] Shape)> Tensors()
    {
        yield return ("wte", [VocabularySize, Width]);
        yield return ("wpe", [ContextLength, Width]);
        for (int block = 0; block < Layers; block++)
        {
            (string Name, long Outputs, long? Inputs)[] layers =
            [
                ("ln_1", Width, null), ("attn.c_attn", 3L * Width, Width), ("attn.c_proj", Width, Width),
                ("ln_2", Width, null), ("mlp.c_fc", 4L * Width, Width), ("mlp.c_proj", Width, 4L * Width),
            ];
            foreach ((string name, long outputs, long? inputs) in layers)
            {
                yield return ($"h.{block}.{name}.weight", inputs is long columns ? [outputs, columns] : [outputs]);
                yield return ($"h.{block}.{name}.bias", [outputs]);
            }
        }

        yield return ("ln_f.weight", [Width]);
        yield return ("ln_f.bias", [Width]);
    }

    /// <summary>Throws an <see cref="ArgumentException"/> that says what is wrong, if something is.</summary>
    public void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(VocabularySize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(ContextLength, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Layers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Heads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Width, 1);
        if (Width % Heads != 0)
        {
            throw new ArgumentException($"The width {Width} is not divisible by the number of heads {Heads}.");
        }
    }
}
