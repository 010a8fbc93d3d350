using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpSample;

/// <summary>A model to train, and its batches.</summary>
internal interface ITask
{
    /// <summary>Makes the model; with the same seed it has the same weights.</summary>
    public Module<Tensor, Tensor> MakeModel();

    /// <summary>Makes a batch; with the same step it is the same.</summary>
    public (Tensor Input, Tensor Target) MakeBatch(int step);
}

/// <summary>Pictures of ten kinds, as those of handwritten digits are: a smooth pattern each, moved about, with noise.</summary>
internal sealed class PictureTask : ITask
{
    private const int Side = 28;
    private const int Kinds = 10;
    private const int BatchSize = 128;

    private readonly Tensor _patterns;

    public PictureTask()
    {
        random.manual_seed(1);
        using Tensor coarse = randn(Kinds, 1, 5, 5);
        _patterns = functional.interpolate(coarse, [Side, Side], mode: InterpolationMode.Bilinear, align_corners: false);
    }

    public Module<Tensor, Tensor> MakeModel()
    {
        random.manual_seed(2);
        return Sequential(
            ("in", Linear(Side * Side, 512)), ("act1", ReLU()), ("hidden", Linear(512, 512)), ("act2", ReLU()),
            ("out", Linear(512, Kinds)));
    }

    public (Tensor Input, Tensor Target) MakeBatch(int step)
    {
        random.manual_seed(100 + step);
        Tensor kinds = randint(0, Kinds, BatchSize, dtype: ScalarType.Int64);
        Tensor pictures = _patterns.index_select(0, kinds);
        pictures = pictures.roll([step % 5 - 2, step % 3 - 1], [2, 3]) + (4.0 * randn(pictures.shape));
        return (pictures.reshape(BatchSize, Side * Side), kinds);
    }
}

/// <summary>Text, character by character: sentences that a small grammar makes.</summary>
internal sealed class TextTask : ITask
{
    private const int Context = 64;
    private const int BatchSize = 16;

    private readonly Tensor _text;
    private readonly int _characters;

    public TextTask()
    {
        string text = MakeText(200_000);
        string alphabet = string.Concat(text.Distinct().Order());
        _characters = alphabet.Length;
        _text = tensor(text.Select(character => (long)alphabet.IndexOf(character, StringComparison.Ordinal)).ToArray());
    }

    public Module<Tensor, Tensor> MakeModel()
    {
        random.manual_seed(2);
        return new Gpt(_characters, Context, width: 192, heads: 6, layers: 4);
    }

    public (Tensor Input, Tensor Target) MakeBatch(int step)
    {
        random.manual_seed(100 + step);
        Tensor starts = randint(0, _text.shape[0] - Context - 1, [BatchSize, 1], dtype: ScalarType.Int64);
        Tensor places = starts + arange(Context + 1, dtype: ScalarType.Int64);
        Tensor characters = _text.index_select(0, places.reshape(-1)).reshape(BatchSize, Context + 1);
        return (characters[.., ..Context], characters[.., 1..].reshape(-1));
    }

    private static string MakeText(int length)
    {
        string[] who = ["the miller", "a traveller", "her sister", "the old king", "every sailor", "no one"];
        string[] does = ["waited for", "remembered", "drew a map of", "sang about", "never found", "counted"];
        string[] what = ["the river", "seven bridges", "a quiet harbour", "the winter fair", "those letters", "an orchard"];
        string[] when = ["in the morning", "before the storm", "after all", "while it rained", "once more", "by lamplight"];
        Random random = new(1);
        System.Text.StringBuilder text = new();
        while (text.Length < length)
        {
            text.Append(Pick(who)).Append(' ').Append(Pick(does)).Append(' ').Append(Pick(what)).Append(' ').Append(Pick(when));
            text.Append(random.Next(4) == 0 ? ".\n" : ", and ");
        }

        return text.ToString();

        string Pick(string[] words) => words[random.Next(words.Length)];
    }
}
