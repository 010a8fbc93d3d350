using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification.Data;

/// <summary>
/// Images that need no file: each class is three clouds of normal noise around random centres, which overlap, so that no classifier
/// is right about all of them.
/// </summary>
internal static class SyntheticImages
{
    /// <summary>The images to train with, and as many to test with.</summary>
    public const int Count = 2000;

    /// <summary>The part of the training labels that is wrong unless something else is asked for.</summary>
    public const double LabelNoise = 0.1;

    private const int Side = 8, Classes = 10, CloudsPerClass = 3;

    // In deviations of the noise: how far the centres are from their middle in each pixel.
    private const double Spread = 0.55;

    // A byte has room for four deviations of centre and noise to both sides.
    private const double Middle = 127.5, Scale = 28;

    /// <summary>Makes them; the same seed gives the same ones.</summary>
    public static ImageData Make(ulong seed)
    {
        var random = new DeterministicRandom(seed);
        double[] centres = new double[Classes * CloudsPerClass * Side * Side];
        foreach (ref double centre in centres.AsSpan())
        {
            centre = Spread * random.NextNormal();
        }

        return new ImageData("synthetic", Classes, Draw(centres, random), Draw(centres, random));
    }

    private static ImageSet Draw(double[] centres, DeterministicRandom random)
    {
        byte[] pixels = new byte[Count * Side * Side], labels = new byte[Count];
        for (int image = 0; image < Count; image++)
        {
            int cloud = random.NextInt32(Classes * CloudsPerClass);
            labels[image] = (byte)(cloud / CloudsPerClass);
            for (int i = 0; i < Side * Side; i++)
            {
                double value = Middle + (Scale * (centres[(cloud * Side * Side) + i] + random.NextNormal()));
                pixels[(image * Side * Side) + i] = (byte)Math.Clamp(Math.Round(value), byte.MinValue, byte.MaxValue);
            }
        }

        return new ImageSet(1, Side, Side, pixels, labels);
    }
}
