namespace NativeOpt.Cli.Training;

/// <summary>
/// A text as training data: the first nine tenths are for training, the last tenth for validation. Which windows a
/// batch holds depends on the seed and the step alone, so two optimizers can be given the very same batches.
/// </summary>
internal sealed class TextDataset
{
    private readonly int[] _training;
    private readonly int[] _validation;

    /// <summary>Encodes and splits a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="contextLength">Tokens in a window.</param>
    /// <param name="tokenizer">The vocabulary; null: that of the text.</param>
    public TextDataset(string text, int contextLength, CharTokenizer? tokenizer = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(contextLength, 1);
        int minimum = MinimumLength(contextLength);
        if (text.Length < minimum)
        {
            throw new ArgumentException(FormattableString.Invariant(
                $"The text has {text.Length} characters; a context of {contextLength} needs at least {minimum}."));
        }

        ContextLength = contextLength;
        Digest = GptFile.Digest(text);
        Tokenizer = tokenizer ?? new CharTokenizer(text);
        int[] tokens = Tokenizer.Encode(text);
        int validation = tokens.Length / 10;
        _training = tokens[..^validation];
        _validation = tokens[^validation..];
        UnigramEntropy = Entropy(tokens, Tokenizer.VocabularySize);
    }

    /// <summary>What tells the text from others.</summary>
    public string Digest { get; }

    /// <summary>The vocabulary of the text.</summary>
    public CharTokenizer Tokenizer { get; }

    /// <summary>Tokens in a window.</summary>
    public int ContextLength { get; }

    /// <summary>Tokens to train on.</summary>
    public ReadOnlySpan<int> Training => _training;

    /// <summary>Tokens to validate on.</summary>
    public ReadOnlySpan<int> Validation => _validation;

    /// <summary>The loss, in nats, of a model that knows how frequent each character of the text is and nothing else.
    /// What training achieves is measured against it.</summary>
    public double UnigramEntropy { get; }

    /// <summary>The fewest characters that a text needs: a tenth of it must hold a window and the token after it.
    /// </summary>
    public static int MinimumLength(int contextLength) => checked(10 * (contextLength + 1));

    /// <summary>Fills both spans with random windows of the training part. Their length is a multiple of
    /// <see cref="ContextLength"/>.</summary>
    public void FillTrainingBatch(ulong seed, int step, Span<int> inputs, Span<int> targets)
    {
        var random = new DeterministicRandom(seed, (ulong)step);
        int sequences = CountWindows(inputs, targets);
        for (int i = 0; i < sequences; i++)
        {
            CopyWindow(_training, random.NextInt32(_training.Length - ContextLength), i, inputs, targets);
        }
    }

    /// <summary>Fills both spans with validation batch <paramref name="index"/> of <paramref name="count"/>. All of
    /// them together are spread evenly over the validation part and are the same windows each time.</summary>
    public void FillValidationBatch(int index, int count, Span<int> inputs, Span<int> targets)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(index, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, count);
        int sequences = CountWindows(inputs, targets);
        long last = _validation.Length - ContextLength - 1;
        long windows = (long)count * sequences;
        for (int i = 0; i < sequences; i++)
        {
            long window = ((long)index * sequences) + i;
            CopyWindow(_validation, (int)(last * window / Math.Max(1, windows - 1)), i, inputs, targets);
        }
    }

    private int CountWindows(ReadOnlySpan<int> inputs, ReadOnlySpan<int> targets)
    {
        if (inputs.Length != targets.Length || inputs.Length % ContextLength != 0)
        {
            throw new ArgumentException(
                $"Inputs ({inputs.Length}) and targets ({targets.Length}) must be equally long, "
                + $"a multiple of {ContextLength}.");
        }

        return inputs.Length / ContextLength;
    }

    private void CopyWindow(int[] tokens, int start, int row, Span<int> inputs, Span<int> targets)
    {
        tokens.AsSpan(start, ContextLength).CopyTo(inputs[(row * ContextLength)..]);
        tokens.AsSpan(start + 1, ContextLength).CopyTo(targets[(row * ContextLength)..]);
    }

    private static double Entropy(int[] tokens, int vocabularySize)
    {
        int[] counts = new int[vocabularySize];
        foreach (int token in tokens)
        {
            counts[token]++;
        }

        double entropy = 0;
        foreach (int count in counts)
        {
            double probability = (double)count / tokens.Length;
            entropy -= count == 0 ? 0 : probability * Math.Log(probability);
        }

        return entropy;
    }
}
