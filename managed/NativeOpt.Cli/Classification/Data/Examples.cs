namespace NativeOpt.Cli.Classification.Data;

/// <summary>Some images of a set as a model takes them: less the mean of all pixels, over their standard deviation.</summary>
internal sealed class Examples
{
    private readonly ImageSet _set;
    private readonly int[] _indices;
    private readonly float[] _values = new float[256]; // of each byte

    /// <summary>Takes images with a mean and a deviation of their own.</summary>
    /// <param name="set">All images.</param>
    /// <param name="indices">Those to take.</param>
    public Examples(ImageSet set, int[] indices)
    {
        (_set, _indices) = (set, indices);
        long[] counts = new long[_values.Length];
        foreach (int index in indices)
        {
            foreach (byte pixel in set.Image(index))
            {
                counts[pixel]++;
            }
        }

        // Of whole numbers, so that no order of adding up matters.
        double total = (double)indices.Length * set.Features;
        double mean = counts.Index().Sum(static own => (double)own.Index * own.Item) / total;
        double variance = counts.Index().Sum(own => (own.Index - mean) * (own.Index - mean) * own.Item) / total;
        double deviation = variance > 0 ? Math.Sqrt(variance) : 1;
        for (int value = 0; value < _values.Length; value++)
        {
            _values[value] = (float)((value - mean) / deviation);
        }
    }

    /// <summary>Takes images with the mean and the deviation of others, those of training.</summary>
    public Examples(ImageSet set, int[] indices, Examples scale) =>
        (_set, _indices, _values) = (set, indices, scale._values);

    /// <summary>The images.</summary>
    public int Count => _indices.Length;

    /// <summary>Writes images and their classes, one after the other.</summary>
    /// <param name="positions">Which images, counted from 0 within these.</param>
    /// <param name="inputs">The numbers of each image in a row.</param>
    /// <param name="labels">The classes.</param>
    public void Fill(ReadOnlySpan<int> positions, Span<float> inputs, Span<int> labels)
    {
        for (int row = 0; row < positions.Length; row++)
        {
            int index = _indices[positions[row]];
            labels[row] = _set.Labels[index];
            ReadOnlySpan<byte> image = _set.Image(index);
            Span<float> target = inputs.Slice(row * _set.Features, _set.Features);
            for (int i = 0; i < image.Length; i++)
            {
                target[i] = _values[image[i]];
            }
        }
    }
}
