using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>Vocabulary, split, batches and entropy of a text.</summary>
public sealed class TextDatasetTests
{
    [Fact]
    public void TokenizerNumbersSortedCharactersAndDecodes()
    {
        var tokenizer = new CharTokenizer("hello, world\n");
        Assert.Equal(11, tokenizer.VocabularySize); // ten distinct characters and the replacement
        Assert.Equal("hello\n", tokenizer.Decode(tokenizer.Encode("hello\n")));
        Assert.Equal([0, 1, 2], tokenizer.Encode("\n ,"));
        Assert.Equal("he\uFFFD\uFFFDo", tokenizer.Decode(tokenizer.Encode("heXXo")));
    }

    [Fact]
    public void TokenizerKeepsTheMostFrequentOfTooManyCharacters()
    {
        string rare = string.Concat(Enumerable.Range(0x4E00, 300).Select(static code => (char)code));
        string text = "aaa" + rare + "bb" + rare[..254];
        var tokenizer = new CharTokenizer(text);
        Assert.Equal(256, tokenizer.VocabularySize);
        Assert.Equal("ab", tokenizer.Decode(tokenizer.Encode("ab")));
        string decoded = tokenizer.Decode(tokenizer.Encode(rare));
        Assert.Equal(rare[..253], decoded[..253]);
        Assert.All(decoded[253..], static character => Assert.Equal(CharTokenizer.Replacement, character));
        Assert.Equal(1, new CharTokenizer("\uFFFD").VocabularySize);
    }

    [Fact]
    public void SplitsByPositionAndCopiesWindows()
    {
        string text = string.Concat(Enumerable.Range(0, 1000).Select(static i => (char)('A' + (i % 50))));
        var dataset = new TextDataset(text, 8);
        Assert.Equal(900, dataset.Training.Length);
        Assert.Equal(100, dataset.Validation.Length);
        Assert.Equal(text[900..], dataset.Tokenizer.Decode(dataset.Validation));

        int[] inputs = new int[5 * 8];
        int[] targets = new int[5 * 8];
        dataset.FillTrainingBatch(1, 0, inputs, targets);
        AssertWindows(inputs, targets);
        dataset.FillValidationBatch(1, 2, inputs, targets);
        AssertWindows(inputs, targets);

        // The text counts upward modulo 50, so a target is always its input plus one.
        static void AssertWindows(int[] inputs, int[] targets)
        {
            for (int i = 0; i < inputs.Length; i++)
            {
                Assert.Equal((inputs[i] + 1) % 50, targets[i]);
                Assert.True(i % 8 == 0 || inputs[i] == targets[i - 1]);
            }
        }
    }

    [Fact]
    public void BatchesFollowSeedAndStep()
    {
        var dataset = new TextDataset(string.Concat(Enumerable.Range(0, 9999)), 8);
        Assert.Equal(Batch(1, 3), Batch(1, 3));
        Assert.NotEqual(Batch(1, 3), Batch(1, 4));
        Assert.NotEqual(Batch(1, 3), Batch(2, 3));

        int[] Batch(ulong seed, int step)
        {
            int[] inputs = new int[64];
            dataset.FillTrainingBatch(seed, step, inputs, new int[64]);
            return inputs;
        }
    }

    [Fact]
    public void ValidationReachesFromTheFirstTokenToTheLast()
    {
        string text = new string('a', 90) + "bcdefghijk";
        var dataset = new TextDataset(text, 4);
        int[] inputs = new int[8];
        int[] targets = new int[8];
        dataset.FillValidationBatch(0, 2, inputs, targets);
        Assert.Equal("bcde", dataset.Tokenizer.Decode(inputs.AsSpan(0, 4)));
        dataset.FillValidationBatch(1, 2, inputs, targets);
        Assert.Equal("hijk", dataset.Tokenizer.Decode(targets.AsSpan(4, 4)));
        Assert.Throws<ArgumentOutOfRangeException>(() => dataset.FillValidationBatch(2, 2, inputs, targets));
        Assert.Throws<ArgumentException>(() => dataset.FillValidationBatch(0, 2, new int[7], new int[7]));
        Assert.Throws<ArgumentException>(() => dataset.FillValidationBatch(0, 2, new int[8], new int[4]));
    }

    [Fact]
    public void ShortestTextWorksAndOneCharacterLessIsRefusedWithTheNumber()
    {
        int minimum = TextDataset.MinimumLength(16);
        var dataset = new TextDataset(new string('a', minimum), 16);
        dataset.FillTrainingBatch(0, 0, new int[16], new int[16]);
        dataset.FillValidationBatch(0, 1, new int[16], new int[16]);
        var error = Assert.Throws<ArgumentException>(() => new TextDataset(new string('a', minimum - 1), 16));
        Assert.Contains($"at least {minimum}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EntropyIsThatOfTheCharacters()
    {
        Assert.Equal(0, new TextDataset(new string('a', 100), 4).UnigramEntropy, 1e-12);
        string four = string.Concat(Enumerable.Repeat("abcd", 100));
        Assert.Equal(Math.Log(4), new TextDataset(four, 4).UnigramEntropy, 1e-12);
    }
}
