namespace NativeOpt.Cli.Classification.Data;

/// <summary>Reads a folder of images: the IDX files of MNIST and its like, or the binary files of CIFAR-10 or CIFAR-100.</summary>
internal static class ImageFolder
{
    /// <summary>The names that are looked for, each also with .gz behind it.</summary>
    public const string Names =
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (MNIST and its like), "
        + "data_batch_1.bin to data_batch_5.bin and test_batch.bin (CIFAR-10), or train.bin and test.bin (CIFAR-100)";

    /// <summary>Reads all images of a folder.</summary>
    /// <exception cref="InvalidDataException">A file is not what its name says, or truncated, or too large.</exception>
    /// <exception cref="IOException">A file is missing or cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read.</exception>
    public static ImageData Read(string folder)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
        if (All(folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
            is [var images, var labels, var testImages, var testLabels])
        {
            ImageSet train = ReadIdx(images, labels), test = ReadIdx(testImages, testLabels);
            return train.Height == test.Height && train.Width == test.Width
                ? new ImageData(name, 1 + Math.Max(train.Labels.Max(), test.Labels.Max()), train, test)
                : throw new InvalidDataException(
                    $"Images of {images} are {train.Height} x {train.Width}, and those of {testImages} {test.Height} x {test.Width}.");
        }

        if (All(
            folder, "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin")
            is { } batches)
        {
            return new ImageData(
                name, 10, CifarFile.Read(batches[..^1], labelBytes: 1, classes: 10), CifarFile.Read(batches[^1..], 1, 10));
        }

        return All(folder, "train.bin", "test.bin") is [var hundred, var testHundred]
            ? new ImageData(name, 100, CifarFile.Read([hundred], labelBytes: 2, classes: 100), CifarFile.Read([testHundred], 2, 100))
            : throw new FileNotFoundException($"It has no images: looked for were {Names}.");
    }

    private static ImageSet ReadIdx(string imagesPath, string labelsPath)
    {
        (int[] shape, byte[] pixels) = IdxFile.Read(imagesPath, dimensions: 3);
        (int[] labelShape, byte[] labels) = IdxFile.Read(labelsPath, dimensions: 1);
        return shape[0] == labelShape[0] ? new ImageSet(1, shape[1], shape[2], pixels, labels)
            : throw new InvalidDataException($"{imagesPath} has {shape[0]:N0} images, and {labelsPath} {labelShape[0]:N0} labels.");
    }

    // The paths of all, or null if one is missing.
    private static string[]? All(string folder, params ReadOnlySpan<string> names)
    {
        List<string> paths = [];
        foreach (string name in names)
        {
            if (DataFile.Find(folder, name) is not { } path)
            {
                return null;
            }

            paths.Add(path);
        }

        return [.. paths];
    }
}
