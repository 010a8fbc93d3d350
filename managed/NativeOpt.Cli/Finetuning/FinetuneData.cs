using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Finetuning;

/// <summary>
/// A text to fine-tune on: the first eight tenths are for training, the next one to choose learning rates by, and the last one for
/// validation. An epoch learns once from each window of the training part, in an order of its own.
/// </summary>
internal sealed class FinetuneData
{
    private readonly int _context;

    /// <summary>Encodes and splits a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="tokenizer">The vocabulary of the model.</param>
    /// <param name="contextLength">Tokens in a window.</param>
    /// <param name="batchSize">Windows in a step.</param>
    /// <exception cref="ArgumentException">The text is too short.</exception>
    public FinetuneData(string text, CharTokenizer tokenizer, int contextLength, int batchSize)
    {
        _context = contextLength;
        Digest = GptFile.Digest(text);
        int[] tokens = tokenizer.Encode(text);
        int tenth = tokens.Length / 10;
        Training = tokens[..^(2 * tenth)];
        HeldOut = tokens[^(2 * tenth)..^tenth];
        Validation = tokens[^tenth..];
        StepsPerEpoch = WindowCount(Training) / batchSize;
        int minimum = Math.Max(10 * (contextLength + 1), ((batchSize * contextLength) + 1) * 10 / 8);
        if (StepsPerEpoch == 0 || tenth <= contextLength)
        {
            throw new ArgumentException(
                $"The text has {text.Length:N0} characters; steps of {batchSize} x {contextLength} need about {minimum:N0} or more.");
        }
    }

    /// <summary>What tells the text from others.</summary>
    public string Digest { get; }

    /// <summary>Tokens to train on.</summary>
    public int[] Training { get; }

    /// <summary>Tokens to choose learning rates by.</summary>
    public int[] HeldOut { get; }

    /// <summary>Tokens to validate on.</summary>
    public int[] Validation { get; }

    /// <summary>Steps in an epoch; what is left of its windows is less than a step.</summary>
    public int StepsPerEpoch { get; }

    /// <summary>Where the windows of an epoch begin: one after another from a random start on, shuffled.</summary>
    public int[] Epoch(ulong seed, int epoch)
    {
        var random = new DeterministicRandom(seed, (ulong)epoch);
        int windows = WindowCount(Training);
        int first = random.NextInt32(Training.Length - (windows * _context));
        int[] starts = [.. Enumerable.Range(0, windows).Select(i => first + (i * _context))];
        for (int i = windows - 1; i > 0; i--)
        {
            int other = random.NextInt32(i + 1);
            (starts[i], starts[other]) = (starts[other], starts[i]);
        }

        return starts;
    }

    /// <summary>Copies windows of a part, and for each of their tokens the one that follows.</summary>
    public void Fill(int[] part, ReadOnlySpan<int> starts, Span<int> inputs, Span<int> targets)
    {
        for (int i = 0; i < starts.Length; i++)
        {
            part.AsSpan(starts[i], _context).CopyTo(inputs[(i * _context)..]);
            part.AsSpan(starts[i] + 1, _context).CopyTo(targets[(i * _context)..]);
        }
    }

    /// <summary>The mean loss of a model over a part.</summary>
    /// <param name="model">The model.</param>
    /// <param name="part">One of the three parts. Of a long one, as many windows count as the validation part has, spread evenly.
    /// </param>
    public double Loss(Gpt model, int[] part)
    {
        int windows = WindowCount(part);
        int used = Math.Min(windows, WindowCount(Validation));
        int[] starts = [.. Enumerable.Range(0, used).Select(i => (int)((long)i * windows / used) * _context)];
        double sum = 0;
        foreach (int[] batch in starts.Chunk(model.MaximumBatch))
        {
            int[] inputs = new int[batch.Length * _context], targets = new int[batch.Length * _context];
            Fill(part, batch, inputs, targets);
            sum += (double)model.Forward(inputs, targets, batch.Length) * batch.Length;
        }

        return sum / used;
    }

    // Each window has a token after it.
    private int WindowCount(int[] part) => (part.Length - 1) / _context;
}
