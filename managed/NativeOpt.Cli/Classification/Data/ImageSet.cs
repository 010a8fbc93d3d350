namespace NativeOpt.Cli.Classification.Data;

/// <summary>Images of one size, and what each shows.</summary>
/// <param name="Channels">The colours, 1 or 3.</param>
/// <param name="Height">The rows of an image.</param>
/// <param name="Width">The columns of an image.</param>
/// <param name="Pixels">One byte for each channel and pixel: image by image, within it channel by channel, within that row by row.</param>
/// <param name="Labels">The class of each image, from 0.</param>
internal sealed record ImageSet(int Channels, int Height, int Width, byte[] Pixels, byte[] Labels)
{
    /// <summary>The numbers of an image.</summary>
    public int Features => Channels * Height * Width;

    /// <summary>The images.</summary>
    public int Count => Labels.Length;

    /// <summary>The numbers of one image.</summary>
    public ReadOnlySpan<byte> Image(int index) => Pixels.AsSpan(index * Features, Features);
}
