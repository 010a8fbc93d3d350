namespace NativeOpt.Cli.Training;

/// <summary>
/// Numbers the characters (UTF-16 units) of a text. The most frequent ones have a token each; all others share the
/// replacement character, so every text can be encoded.
/// </summary>
internal sealed class CharTokenizer
{
    /// <summary>What stands for every character without a token of its own.</summary>
    public const char Replacement = '\uFFFD';

    /// <summary>The most characters that get a token of their own.</summary>
    public const int MaximumCharacters = 255;

    private readonly char[] _characters;
    private readonly Dictionary<char, int> _tokens = [];

    /// <summary>Builds the vocabulary of a text.</summary>
    public CharTokenizer(string text)
        : this(CharactersOf(text))
    {
    }

    private CharTokenizer(char[] characters)
    {
        _characters = characters;
        for (int token = 0; token < _characters.Length; token++)
        {
            _tokens.Add(_characters[token], token);
        }
    }

    /// <summary>The character of each token.</summary>
    public IReadOnlyList<char> Characters => _characters;

    /// <summary>Number of tokens, that of the replacement character included.</summary>
    public int VocabularySize => _characters.Length;

    /// <summary>The vocabulary of these characters, the last of which is <see cref="Replacement"/>.</summary>
    public static CharTokenizer Of(char[] characters) => new(characters);

    /// <summary>The token of each character of a text.</summary>
    public int[] Encode(ReadOnlySpan<char> text)
    {
        int[] tokens = new int[text.Length];
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = _tokens.GetValueOrDefault(text[i], VocabularySize - 1);
        }

        return tokens;
    }

    /// <summary>The text of a sequence of tokens.</summary>
    public string Decode(ReadOnlySpan<int> tokens)
    {
        char[] text = new char[tokens.Length];
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = _characters[tokens[i]];
        }

        return new string(text);
    }

    private static char[] CharactersOf(string text)
    {
        // Equally frequent characters rank by their code, so that the vocabulary depends on the text alone.
        char[] kept = [.. text
            .Where(static character => character != Replacement)
            .CountBy(static character => character)
            .OrderByDescending(static pair => pair.Value)
            .ThenBy(static pair => pair.Key)
            .Take(MaximumCharacters)
            .Select(static pair => pair.Key)];
        Array.Sort(kept);
        return [.. kept, Replacement];
    }
}
