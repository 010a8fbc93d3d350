using System.Buffers.Binary;

namespace NativeOpt.Cli.Classification.Data;

/// <summary>
/// The files of MNIST and Fashion-MNIST: two bytes of 0, the element type, the number of dimensions, the sizes as big-endian
/// numbers of 32 bits, and the elements (yann.lecun.com/exdb/mnist).
/// </summary>
internal static class IdxFile
{
    private const byte UnsignedByte = 8;

    /// <summary>Reads bytes of so many dimensions.</summary>
    /// <exception cref="InvalidDataException">It is no such file, or truncated, or too large.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static (int[] Shape, byte[] Elements) Read(string path, int dimensions)
    {
        using Stream file = DataFile.Open(path);
        Span<byte> magic = stackalloc byte[4];
        DataFile.ReadHeader(file, path, magic);
        if (magic[0] != 0 || magic[1] != 0 || magic[2] != UnsignedByte || magic[3] != dimensions)
        {
            throw new InvalidDataException(
                $"{path} is no IDX file of bytes in {dimensions} dimension(s): it begins with {Convert.ToHexString(magic)} and not with "
                + $"0000{UnsignedByte:X2}{dimensions:X2}.");
        }

        int[] shape = new int[dimensions];
        long count = 1;
        Span<byte> size = stackalloc byte[4];
        for (int i = 0; i < dimensions; i++)
        {
            DataFile.ReadHeader(file, path, size);
            uint claimed = BinaryPrimitives.ReadUInt32BigEndian(size);
            if (claimed == 0 || claimed > DataFile.MaxBytes || count * claimed > DataFile.MaxBytes)
            {
                throw new InvalidDataException(
                    $"{path} claims a size of {claimed:N0}; all sizes together must be from 1 to {DataFile.MaxBytes:N0} bytes.");
            }

            shape[i] = (int)claimed;
            count *= claimed;
        }

        return (shape, DataFile.ReadRest(file, path, count));
    }
}
