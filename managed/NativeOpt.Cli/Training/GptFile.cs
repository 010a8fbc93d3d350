using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace NativeOpt.Cli.Training;

/// <summary>A model that <c>nativeopt train</c> has saved.</summary>
/// <param name="Config">The shape.</param>
/// <param name="Tokenizer">The vocabulary.</param>
/// <param name="TextDigest">The SHA-256 of the text that it was trained on.</param>
/// <param name="Values">The tensors' numbers, in the order of <see cref="Gpt.Parameters"/>.</param>
internal sealed record SavedGpt(GptConfig Config, CharTokenizer Tokenizer, string TextDigest, IReadOnlyList<float[]> Values)
{
    /// <summary>The model itself.</summary>
    /// <param name="maximumBatch">The most sequences of full context length that one call takes.</param>
    public Gpt ToModel(int maximumBatch)
    {
        var model = new Gpt(Config, maximumBatch, seed: 0);
        for (int i = 0; i < Values.Count; i++)
        {
            Values[i].CopyTo(model.Parameters[i].Value, 0);
        }

        return model;
    }
}

/// <summary>
/// Reads and writes a model as a safetensors file: the tensors under GPT-2's names in float32, with the vocabulary, the number of
/// heads and the digest of the text in the metadata.
/// </summary>
internal static class GptFile
{
    private const string Heads = "heads", Characters = "characters", Text = "text_sha256", Optimizer = "optimizer", Steps = "steps";
    private const string Float32 = "F32"; // as safetensors calls it
    private const int MaximumContext = 4096; // attention takes memory by its square

    /// <summary>What tells texts apart.</summary>
    public static string Digest(string text) => Convert.ToHexString(SHA256.HashData(Encoding.Unicode.GetBytes(text)));

    /// <summary>Writes what a run has trained.</summary>
    public static void Write(Stream file, TrainingRun run, GptConfig config, TextDataset data)
    {
        List<SafetensorsEntry> entries = [];
        long at = 0;
        foreach (GptParameter parameter in run.Parameters)
        {
            long end = at + ((long)parameter.Value.Length * sizeof(float));
            entries.Add(new SafetensorsEntry(
                parameter.Name, Float32, [.. parameter.Shape.Select(static size => (long)size)], at, end));
            at = end;
        }

        // Characters by their numbers: one may be half of a surrogate pair, which no JSON can hold.
        Dictionary<string, string> metadata = new()
        {
            [Optimizer] = run.Recipe.Name,
            [Steps] = run.Steps.ToString(CultureInfo.InvariantCulture),
            [Heads] = config.Heads.ToString(CultureInfo.InvariantCulture),
            [Characters] = string.Join(
                ' ', data.Tokenizer.Characters.Select(static own => ((int)own).ToString(CultureInfo.InvariantCulture))),
            [Text] = data.Digest,
        };
        file.Write(new SafetensorsHeader(metadata, entries).ToBytes());
        foreach (GptParameter parameter in run.Parameters)
        {
            file.Write(MemoryMarshal.AsBytes(parameter.Value.AsSpan()));
        }
    }

    /// <summary>Reads a model.</summary>
    /// <exception cref="InvalidDataException">The file has no model of <c>nativeopt train</c>; the message says why.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static SavedGpt Read(string path)
    {
        using FileStream file = File.OpenRead(path);
        SafetensorsHeader header = SafetensorsHeader.Read(file);
        long begin = file.Position;
        Dictionary<string, SafetensorsEntry> entries = header.Entries.ToDictionary(static entry => entry.Name);
        CharTokenizer tokenizer = ReadCharacters(Metadata(Characters));
        GptConfig config = ReadConfig(entries, Metadata(Heads));
        if (tokenizer.VocabularySize != config.VocabularySize)
        {
            throw new InvalidDataException(
                $"It has {tokenizer.VocabularySize} characters and embeddings for {config.VocabularySize}.");
        }

        // What is allocated is bounded by what is there, and not by what the header claims.
        List<(string Name, long[] Shape)> tensors = [];
        long needed = begin;
        foreach ((string name, long[] shape) in config.Tensors())
        {
            needed += Bytes(shape);
            if (needed > file.Length)
            {
                throw new InvalidDataException(
                    $"It has {file.Length:N0} bytes, fewer than a model of its shape takes: the file was cut off, or its header is wrong.");
            }

            tensors.Add((name, shape));
        }

        List<float[]> values = [];
        foreach ((string name, long[] shape) in tensors)
        {
            SafetensorsEntry entry = entries.GetValueOrDefault(name)
                ?? throw new InvalidDataException($"The tensor {name} is missing.");
            if (entry.DType != Float32 || !entry.Shape.SequenceEqual(shape)
                || entry.End - entry.Begin != Bytes(shape) || begin + entry.End > file.Length)
            {
                throw new InvalidDataException(
                    $"The tensor {name} must be {Float32} of the shape {string.Join('x', shape)}, and all there.");
            }

            float[] own = new float[Bytes(shape) / sizeof(float)];
            file.Position = begin + entry.Begin;
            file.ReadExactly(MemoryMarshal.AsBytes(own.AsSpan()));
            if (!own.All(float.IsFinite))
            {
                throw new InvalidDataException($"The tensor {name} has a number that is not finite.");
            }

            values.Add(own);
        }

        return new SavedGpt(config, tokenizer, Metadata(Text), values);

        static long Bytes(long[] shape) => shape.Aggregate((long)sizeof(float), static (bytes, size) => bytes * size);

        string Metadata(string key) => header.Metadata.GetValueOrDefault(key)
            ?? throw new InvalidDataException($"The metadata has no \"{key}\".");
    }

    private static CharTokenizer ReadCharacters(string numbers)
    {
        List<char> characters = [];
        foreach (string number in numbers.Split(' '))
        {
            if (!ushort.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out ushort character)
                || characters.Contains((char)character))
            {
                throw new InvalidDataException($"\"{Characters}\" must be numbers of characters, each once.");
            }

            characters.Add((char)character);
        }

        return characters[^1] == CharTokenizer.Replacement
            ? CharTokenizer.Of([.. characters])
            : throw new InvalidDataException($"\"{Characters}\" must end with {(int)CharTokenizer.Replacement}.");
    }

    private static GptConfig ReadConfig(Dictionary<string, SafetensorsEntry> entries, string heads)
    {
        (int vocabulary, int width) = MatrixShape("wte", CharTokenizer.MaximumCharacters + 1);
        (int context, _) = MatrixShape("wpe", MaximumContext);
        int layers = 0;
        while (entries.ContainsKey(FormattableString.Invariant($"h.{layers}.ln_1.weight")))
        {
            layers++;
        }

        _ = int.TryParse(heads, NumberStyles.None, CultureInfo.InvariantCulture, out int count);
        var config = new GptConfig(vocabulary, context, layers, count, width);
        try
        {
            config.Validate();
            return config;
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"Its shape is no model's: {error.Message}", error);
        }

        (int Rows, int Columns) MatrixShape(string name, int maximumRows) =>
            entries.GetValueOrDefault(name)?.Shape is [> 0 and long rows, > 0 and <= 1 << 20 and long columns] && rows <= maximumRows
                ? ((int)rows, (int)columns)
                : throw new InvalidDataException($"The tensor {name} is missing, or no matrix of a reasonable size.");
    }
}
