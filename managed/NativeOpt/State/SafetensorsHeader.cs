using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace NativeOpt;

/// <summary>One tensor of a safetensors file.</summary>
/// <param name="Name">The key.</param>
/// <param name="DType">The element type, "F32" for float32.</param>
/// <param name="Shape">The dimensions.</param>
/// <param name="Begin">The first byte, counted from the end of the header.</param>
/// <param name="End">The byte after the last.</param>
internal sealed record SafetensorsEntry(string Name, string DType, long[] Shape, long Begin, long End);

/// <summary>
/// The header of a safetensors file: 8 bytes with its length, then JSON, padded with spaces so that the data begins at a
/// multiple of 8.
/// </summary>
/// <remarks>
/// The metadata holds the SHA-256 of the JSON itself (with 64 zeros in its own place), since a changed digit of a number
/// would otherwise go unnoticed. Other writers may leave it out.
/// </remarks>
internal sealed class SafetensorsHeader
{
    public const string DigestKey = "header_sha256";

    // The bound of the reference implementation.
    private const int MaxBytes = 100_000_000;
    private const int MaxTypeLength = 32;

    // Of what a length claims no more than this is allocated before it is there.
    private const int FirstPiece = 1 << 16;
    private const string MetadataKey = "__metadata__";
    private static readonly string NoDigest = new('0', 2 * SHA256.HashSizeInBytes);

    public SafetensorsHeader(IReadOnlyDictionary<string, string> metadata, IReadOnlyList<SafetensorsEntry> entries)
    {
        Metadata = metadata;
        Entries = entries;
    }

    /// <summary>Strings by name, without the digest.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    public IReadOnlyList<SafetensorsEntry> Entries { get; }

    /// <summary>Reads a header from the stream's position on, and leaves the stream at the data.</summary>
    /// <exception cref="InvalidDataException">It is no well-formed header; the message says why.</exception>
    public static SafetensorsHeader Read(Stream stream)
    {
        byte[] prefix = new byte[sizeof(ulong)];
        ReadOrThrow(stream, prefix);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length is < 2 or > MaxBytes)
        {
            throw new InvalidDataException(
                $"The header's length is {length}; it must be 2 to {MaxBytes}. This is no safetensors file.");
        }

        byte[] json = ReadOrThrow(stream, (int)length);
        try
        {
            return Parse(json);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a string that is no Unicode.
            throw new InvalidDataException($"The header is not well-formed: {exception.Message}", exception);
        }
    }

    /// <summary>The header's bytes, its length included.</summary>
    public byte[] ToBytes()
    {
        ArrayBufferWriter<byte> buffer = new();
        buffer.Write(stackalloc byte[sizeof(ulong)]);
        using (Utf8JsonWriter json = new(buffer))
        {
            WriteJson(json);
        }

        Span<byte> padding = "       "u8.ToArray();
        buffer.Write(padding[..(-buffer.WrittenCount & 7)]);
        byte[] bytes = buffer.WrittenSpan.ToArray();
        Span<byte> text = bytes.AsSpan(sizeof(ulong));
        if (text.Length > MaxBytes)
        {
            throw new InvalidOperationException(
                $"The tensors' names need a header of {text.Length} bytes; a safetensors file can have {MaxBytes}.");
        }

        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)text.Length);
        string digest = Digest(text);
        Encoding.ASCII.GetBytes(digest, text[text.IndexOf(Encoding.ASCII.GetBytes(NoDigest))..]);
        return bytes;
    }

    private static string Digest(ReadOnlySpan<byte> json) => Convert.ToHexString(SHA256.HashData(json));

    private static void ReadOrThrow(Stream stream, Span<byte> destination)
    {
        int read = stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
        if (read < destination.Length)
        {
            throw new InvalidDataException("The file ends within its header.");
        }
    }

    /// <summary>Reads so many bytes into memory that grows with what the stream has.</summary>
    private static byte[] ReadOrThrow(Stream stream, int length)
    {
        byte[] bytes = [];
        while (bytes.Length < length)
        {
            int read = bytes.Length;
            Array.Resize(ref bytes, (int)Math.Min(length, Math.Max(FirstPiece, 2L * read)));
            ReadOrThrow(stream, bytes.AsSpan(read));
        }

        return bytes;
    }

    private static SafetensorsHeader Parse(byte[] json)
    {
        Utf8JsonReader reader = new(json);
        Dictionary<string, string> metadata = [];
        List<SafetensorsEntry> entries = [];
        HashSet<string> names = [];
        Expect(ref reader, JsonTokenType.StartObject, "the header");
        while (NextName(ref reader, names, "the header") is { } name)
        {
            if (name == MetadataKey)
            {
                metadata = ParseMetadata(ref reader, json);
            }
            else
            {
                entries.Add(ParseEntry(ref reader, name));
            }
        }

        if (reader.Read())
        {
            throw new JsonException("there is something after the end.");
        }

        return new SafetensorsHeader(metadata, entries);
    }

    private static Dictionary<string, string> ParseMetadata(ref Utf8JsonReader reader, ReadOnlySpan<byte> json)
    {
        Dictionary<string, string> metadata = [];
        HashSet<string> names = [];
        Expect(ref reader, JsonTokenType.StartObject, MetadataKey);
        while (NextName(ref reader, names, MetadataKey) is { } name)
        {
            Expect(ref reader, JsonTokenType.String, $"{MetadataKey}.{name}");
            string value = reader.GetString()!;
            if (name == DigestKey)
            {
                RequireDigest(json, (int)reader.TokenStartIndex + 1, value);
            }
            else
            {
                metadata.Add(name, value);
            }
        }

        return metadata;
    }

    private static void RequireDigest(ReadOnlySpan<byte> json, int position, string value)
    {
        byte[] copy = json.ToArray();
        if (value.Length == NoDigest.Length)
        {
            Encoding.ASCII.GetBytes(NoDigest, copy.AsSpan(position));
        }

        if (value != Digest(copy))
        {
            throw new InvalidDataException($"The header was changed or damaged: its {DigestKey} does not fit.");
        }
    }

    private static SafetensorsEntry ParseEntry(ref Utf8JsonReader reader, string name)
    {
        string? dtype = null;
        long[]? shape = null;
        long[]? offsets = null;
        HashSet<string> names = [];
        Expect(ref reader, JsonTokenType.StartObject, name);
        while (NextName(ref reader, names, name) is { } property)
        {
            switch (property)
            {
                case "dtype":
                    Expect(ref reader, JsonTokenType.String, $"{name}.dtype");
                    dtype = reader.GetString()!;
                    RequireType(name, dtype);
                    break;
                case "shape":
                    shape = ParseNumbers(ref reader, $"{name}.shape");
                    break;
                case "data_offsets":
                    offsets = ParseNumbers(ref reader, $"{name}.data_offsets");
                    break;
                default:
                    throw new JsonException(
                        $"{Printable.Quoted(name)} has an unknown property {Printable.Quoted(property)}.");
            }
        }

        if (dtype is null || shape is null || offsets is not [long begin, long end])
        {
            throw new JsonException($"{Printable.Quoted(name)} needs a dtype, a shape and two data_offsets.");
        }

        return new SafetensorsEntry(name, dtype, shape, begin, end);
    }

    private static void RequireType(string name, string dtype)
    {
        if (dtype.Length > MaxTypeLength || !dtype.All(static letter => char.IsAsciiLetterOrDigit(letter) || letter == '_'))
        {
            throw new JsonException($"{Printable.Quoted(name)} has dtype {Printable.Quoted(dtype)}, which is no name of a type.");
        }
    }

    private static long[] ParseNumbers(ref Utf8JsonReader reader, string what)
    {
        List<long> numbers = [];
        Expect(ref reader, JsonTokenType.StartArray, what);
        while (reader.Read() && reader.TokenType == JsonTokenType.Number)
        {
            numbers.Add(
                reader.TryGetInt64(out long number) && number >= 0
                    ? number
                    : throw new JsonException($"{Printable.Quoted(what)} has a number that is no integer of 0 or more."));
        }

        return reader.TokenType == JsonTokenType.EndArray
            ? [.. numbers]
            : throw new JsonException($"{Printable.Quoted(what)} must be numbers.");
    }

    /// <summary>The next property's name, or null at the end of the object.</summary>
    private static string? NextName(ref Utf8JsonReader reader, HashSet<string> names, string what)
    {
        if (reader.Read() && reader.TokenType == JsonTokenType.EndObject)
        {
            return null;
        }

        string name = reader.GetString()!;
        return names.Add(name)
            ? name
            : throw new JsonException($"{Printable.Quoted(name)} occurs twice in {Printable.Quoted(what)}.");
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType token, string what)
    {
        if (!reader.Read() || reader.TokenType != token)
        {
            throw new JsonException($"{Printable.Quoted(what)} is {reader.TokenType}; it must be {token}.");
        }
    }

    private void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartObject(MetadataKey);

        // First, so that no other text of zeros can be taken for it.
        json.WriteString(DigestKey, NoDigest);
        foreach ((string name, string value) in Metadata)
        {
            json.WriteString(name, value);
        }

        json.WriteEndObject();
        foreach (SafetensorsEntry entry in Entries)
        {
            json.WriteStartObject(entry.Name);
            json.WriteString("dtype", entry.DType);
            json.WriteStartArray("shape");
            foreach (long dimension in entry.Shape)
            {
                json.WriteNumberValue(dimension);
            }

            json.WriteEndArray();
            json.WriteStartArray("data_offsets");
            json.WriteNumberValue(entry.Begin);
            json.WriteNumberValue(entry.End);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }
}
