using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>Models that train has saved come back as they were, and nothing else is taken for one.</summary>
public sealed class GptFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    // Half of a surrogate pair is a character of its own.
    private readonly TextDataset _data = new(string.Concat(Enumerable.Repeat("ab\n\ud83d\udc00c", 40)), 8);

    private GptConfig Config => new(_data.Tokenizer.VocabularySize, 8, 2, 2, 8);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_model_comes_back_as_it_was()
    {
        (string path, Gpt model) = Write();
        SavedGpt saved = GptFile.Read(path);
        Assert.Equal(Config, saved.Config);
        Assert.Equal(_data.Tokenizer.Characters, saved.Tokenizer.Characters);
        Assert.Equal(_data.Digest, saved.TextDigest);
        Gpt copy = saved.ToModel(1);
        Assert.Equal(
            model.Parameters.Select(static own => own.Value), copy.Parameters.Select(static own => own.Value));
        Assert.Equal(_data.Tokenizer.Encode("cab?\ud83d"), saved.Tokenizer.Encode("cab?\ud83d"));
    }

    [Fact]
    public void What_is_no_such_model_is_refused()
    {
        (string path, _) = Write();
        byte[] bytes = File.ReadAllBytes(path);
        byte[] notFinite = [.. bytes[..^4], .. BitConverter.GetBytes(float.NaN)];
        File.WriteAllBytes(path, notFinite);
        Assert.Contains("not finite", Assert.Throws<InvalidDataException>(() => GptFile.Read(path)).Message, StringComparison.Ordinal);
        File.WriteAllBytes(path, bytes[..^4]);
        Assert.Contains("cut off", Assert.Throws<InvalidDataException>(() => GptFile.Read(path)).Message, StringComparison.Ordinal);
        Refuse("other", new Dictionary<string, string>());
        Refuse("2x", new() { ["characters"] = "97 97", ["heads"] = "2", ["text_sha256"] = "" });
        Refuse("no end", new() { ["characters"] = "97 98", ["heads"] = "2", ["text_sha256"] = "" });
        Refuse("no tensors", new() { ["characters"] = "97 65533", ["heads"] = "2", ["text_sha256"] = "" });
        Assert.Throws<InvalidDataException>(() => GptFile.Read(_folder.Write("text", "no safetensors file, but a text")));

        void Refuse(string name, Dictionary<string, string> metadata)
        {
            string file = _folder.File(name);
            File.WriteAllBytes(file, new SafetensorsHeader(metadata, []).ToBytes());
            Assert.Throws<InvalidDataException>(() => GptFile.Read(file));
        }
    }

    [Fact]
    public void Tensors_are_those_of_a_model() => Assert.Equal(
        new Gpt(Config, 1, seed: 0).Parameters.Select(static own => $"{own.Name} {string.Join('x', own.Shape)}"),
        Config.Tensors().Select(static own => $"{own.Name} {string.Join('x', own.Shape)}"));

    /// <summary>A few hundred bytes that claim a model of gigabytes, in width or in blocks, are refused before it is allocated.</summary>
    [Theory]
    [InlineData(1 << 20, 1)]
    [InlineData(4096, 3000)]
    public void A_shape_that_the_file_cannot_hold_is_refused_without_allocating_it(int width, int blocks)
    {
        List<SafetensorsEntry> entries =
        [
            new("wte", "F32", [2, width], 0, 8L * width),
            new("wpe", "F32", [4096, width], 0, 4096L * 4 * width),
            .. Enumerable.Range(0, blocks).Select(static i => new SafetensorsEntry($"h.{i}.ln_1.weight", "F32", [1], 0, 4)),
        ];
        string file = _folder.File("claims");
        File.WriteAllBytes(
            file,
            new SafetensorsHeader(
                new Dictionary<string, string> { ["characters"] = "97 65533", ["heads"] = "1", ["text_sha256"] = "" }, entries).ToBytes());
        long before = GC.GetAllocatedBytesForCurrentThread();
        string message = Assert.Throws<InvalidDataException>(() => GptFile.Read(file)).Message;
        Assert.Contains("fewer than a model of its shape takes", message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20_000_000); // what reading the header takes, and no model
    }

    private (string Path, Gpt Model) Write()
    {
        var model = new Gpt(Config, 1, seed: 3);
        var run = new TrainingRun(
            OptimizerRecipe.All[0], 0.1, null, [], TrainingEnd.Completed, TimeSpan.Zero, TimeSpan.Zero, 0, 8, "")
        {
            Parameters = model.Parameters,
        };
        string path = _folder.File("model.safetensors");
        using FileStream file = File.Create(path);
        GptFile.Write(file, run, Config, _data);
        return (path, model);
    }
}
