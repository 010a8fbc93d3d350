using System.IO.Compression;

namespace NativeOpt.Cli.Classification.Data;

/// <summary>
/// Reads files of bytes whose size their header claims. What is claimed is not believed: memory grows with what is there, up to a
/// bound.
/// </summary>
internal static class DataFile
{
    /// <summary>The largest number of bytes that is read of a file, uncompressed.</summary>
    public const int MaxBytes = 1 << 30;

    private const string Compressed = ".gz";
    private const int FirstBuffer = 1 << 20;

    /// <summary>Opens a file, and uncompresses it if its name ends in .gz.</summary>
    public static Stream Open(string path)
    {
        FileStream file = File.OpenRead(path);
        return path.EndsWith(Compressed, StringComparison.Ordinal) ? new GZipStream(file, CompressionMode.Decompress) : file;
    }

    /// <summary>The path of a file, or of the same compressed; null if there is neither.</summary>
    public static string? Find(string folder, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            string path = Path.Combine(folder, name);
            if (File.Exists(path))
            {
                return path;
            }

            if (File.Exists(path + Compressed))
            {
                return path + Compressed;
            }
        }

        return null;
    }

    /// <summary>Reads all that is left of a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="path">Its path, for errors.</param>
    /// <param name="count">The bytes that have to be left; null: any number.</param>
    /// <exception cref="InvalidDataException">There are fewer or more; or more than <see cref="MaxBytes"/>.</exception>
    public static byte[] ReadRest(Stream file, string path, long? count)
    {
        long limit = count ?? MaxBytes;
        if (limit > MaxBytes)
        {
            throw new InvalidDataException($"{path} claims {limit:N0} bytes; at most {MaxBytes:N0} are read.");
        }

        byte[] bytes = new byte[Math.Min(limit, FirstBuffer)];
        int read = 0;
        while (true)
        {
            if (read == bytes.Length)
            {
                if (read == limit)
                {
                    break;
                }

                Array.Resize(ref bytes, (int)Math.Min(limit, 2L * read));
            }

            int more = Read(file, path, bytes.AsSpan(read));
            if (more == 0)
            {
                break;
            }

            read += more;
        }

        if (count is not null && read < count)
        {
            throw new InvalidDataException($"{path} is truncated: {read:N0} of {count:N0} bytes follow its header.");
        }

        if (Read(file, path, stackalloc byte[1]) > 0)
        {
            throw new InvalidDataException($"{path} has more than the {limit:N0} bytes that it should have.");
        }

        Array.Resize(ref bytes, read);
        return bytes;
    }

    /// <summary>Reads the bytes that a file begins with.</summary>
    /// <exception cref="InvalidDataException">There are fewer.</exception>
    public static void ReadHeader(Stream file, string path, Span<byte> header)
    {
        for (int read = 0; read < header.Length;)
        {
            int more = Read(file, path, header[read..]);
            read += more > 0 ? more : throw new InvalidDataException($"{path} ends within its header.");
        }
    }

    private static int Read(Stream file, string path, Span<byte> bytes)
    {
        try
        {
            return file.Read(bytes);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"{path} is no gzip file, or a damaged one: {error.Message}", error);
        }
    }
}
