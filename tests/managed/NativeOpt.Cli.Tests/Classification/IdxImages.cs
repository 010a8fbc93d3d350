using System.Buffers.Binary;
using System.IO.Compression;
using NativeOpt.Cli.Tests.Support;

namespace NativeOpt.Cli.Tests.Classification;

/// <summary>Small IDX files that a perceptron can learn: the first pixel of an image tells its class.</summary>
internal static class IdxImages
{
    public const int Classes = 3;

    public static void Write(TemporaryFolder folder, bool isCompressed, int train, int test, int height, int width)
    {
        foreach ((string name, int count) in new[] { ("train", train), ("t10k", test) })
        {
            WriteFile($"{name}-images-idx3-ubyte", Idx([count, height, width], Pixels(count, height * width)));
            WriteFile($"{name}-labels-idx1-ubyte", Idx([count], Labels(count)));
        }

        void WriteFile(string name, byte[] bytes) =>
            File.WriteAllBytes(folder.File(isCompressed ? name + ".gz" : name), isCompressed ? Zip(bytes) : bytes);
    }

    public static byte[] Idx(int[] shape, byte[] elements)
    {
        byte[] file = new byte[4 + (4 * shape.Length) + elements.Length];
        (file[2], file[3]) = (8, (byte)shape.Length);
        for (int i = 0; i < shape.Length; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(4 + (4 * i)), shape[i]);
        }

        elements.CopyTo(file, 4 + (4 * shape.Length));
        return file;
    }

    public static byte[] Zip(byte[] bytes)
    {
        using var zipped = new MemoryStream();
        using (var gzip = new GZipStream(zipped, CompressionLevel.Fastest))
        {
            gzip.Write(bytes);
        }

        return zipped.ToArray();
    }

    public static byte[] Labels(int count) => [.. Enumerable.Range(0, count).Select(static i => (byte)(i % Classes))];

    public static byte[] Pixels(int count, int features) =>
        [.. Enumerable.Range(0, count * features).Select(i => i % features == 0
            ? (byte)(100 * (i / features % Classes)) : (byte)(17 * i))];
}
