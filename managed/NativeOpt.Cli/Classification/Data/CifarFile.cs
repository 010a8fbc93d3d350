namespace NativeOpt.Cli.Classification.Data;

/// <summary>
/// The binary files of CIFAR-10 and CIFAR-100 (www.cs.toronto.edu/~kriz/cifar.html): records of a label, in CIFAR-100 after that of
/// its superclass, and 3 · 32 · 32 bytes, red, green and blue.
/// </summary>
internal static class CifarFile
{
    private const int Channels = 3, Side = 32, ImageBytes = Channels * Side * Side;

    /// <summary>Reads files, one after the other.</summary>
    /// <param name="paths">Their paths.</param>
    /// <param name="labelBytes">The bytes before an image, the last of which is its label.</param>
    /// <param name="classes">The number of classes.</param>
    /// <exception cref="InvalidDataException">One is no such file, or truncated, or too large.</exception>
    /// <exception cref="IOException">One cannot be read.</exception>
    public static ImageSet Read(IReadOnlyList<string> paths, int labelBytes, int classes)
    {
        byte[][] files = [.. paths.Select(path => ReadRecords(path, labelBytes + ImageBytes))];
        int record = labelBytes + ImageBytes;
        int count = files.Sum(file => file.Length / record);
        byte[] pixels = new byte[(long)count * ImageBytes], labels = new byte[count];
        int image = 0;
        for (int i = 0; i < files.Length; i++)
        {
            for (int begin = 0; begin < files[i].Length; begin += record, image++)
            {
                labels[image] = files[i][begin + labelBytes - 1];
                if (labels[image] >= classes)
                {
                    throw new InvalidDataException(
                        $"{paths[i]} has a label of {labels[image]} in record {begin / record}; labels are below {classes}.");
                }

                files[i].AsSpan(begin + labelBytes, ImageBytes).CopyTo(pixels.AsSpan(image * ImageBytes));
            }
        }

        return new ImageSet(Channels, Side, Side, pixels, labels);
    }

    private static byte[] ReadRecords(string path, int record)
    {
        using Stream file = DataFile.Open(path);
        byte[] bytes = DataFile.ReadRest(file, path, count: null);
        return bytes.Length > 0 && bytes.Length % record == 0 ? bytes
            : throw new InvalidDataException(
                $"{path} has {bytes.Length:N0} bytes, which are no whole number of records of {record:N0}: it is truncated, or "
                + "another file.");
    }
}
