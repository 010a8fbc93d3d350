using System.Security.Cryptography;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification.Data;

/// <summary>Images to train with and images to test with.</summary>
/// <param name="Name">What people call them.</param>
/// <param name="Classes">The number of classes.</param>
/// <param name="Train">Those to train with.</param>
/// <param name="Test">Those to test with.</param>
internal sealed record ImageData(string Name, int Classes, ImageSet Train, ImageSet Test)
{
    // Streams of the seed.
    private const ulong NoiseStream = 1, SubsetStream = 2;

    /// <summary>A hash of all pixels and labels, as hexadecimal digits.</summary>
    public string Digest()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (ImageSet set in (ImageSet[])[Train, Test])
        {
            hash.AppendData(set.Pixels);
            hash.AppendData(set.Labels);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The same with wrong labels in training: each becomes one of the other classes with this probability.</summary>
    /// <param name="fraction">The probability, from 0 to 1.</param>
    /// <param name="seed">Selects which labels, and what they become.</param>
    public ImageData WithLabelNoise(double fraction, ulong seed)
    {
        if (fraction == 0 || Classes < 2)
        {
            return this;
        }

        var random = new DeterministicRandom(seed, NoiseStream);
        byte[] labels = [.. Train.Labels];
        for (int i = 0; i < labels.Length; i++)
        {
            bool isWrong = random.NextDouble() < fraction;
            int other = random.NextInt32(Classes - 1);
            labels[i] = isWrong ? (byte)(other < labels[i] ? other : other + 1) : labels[i];
        }

        return this with { Train = Train with { Labels = labels } };
    }

    /// <summary>The order in which training images are taken: the first ones of it are a random subset.</summary>
    /// <param name="seed">Selects the order.</param>
    public int[] Order(ulong seed)
    {
        int[] order = [.. Enumerable.Range(0, Train.Count)];
        Shuffle(order, new DeterministicRandom(seed, SubsetStream));
        return order;
    }

    /// <summary>Puts numbers into a random order (Fisher and Yates).</summary>
    public static void Shuffle(Span<int> numbers, DeterministicRandom random)
    {
        for (int i = numbers.Length - 1; i > 0; i--)
        {
            int j = random.NextInt32(i + 1);
            (numbers[i], numbers[j]) = (numbers[j], numbers[i]);
        }
    }
}
