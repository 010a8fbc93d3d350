namespace NativeOpt.Cli.Commands;

/// <summary>Guesses what was meant by a mistyped word.</summary>
internal static class Suggestion
{
    /// <summary>"; did you mean …?" if a word is near enough, else nothing.</summary>
    public static string For(string mistyped, IEnumerable<string> words)
    {
        (string? word, int distance) = words
            .Select(word => (word, Distance(mistyped, word)))
            .DefaultIfEmpty((null!, int.MaxValue))
            .MinBy(static pair => pair.Item2);
        return distance <= Math.Max(1, mistyped.Length / 3) ? $"; did you mean {word}?" : "";
    }

    /// <summary>Levenshtein's: how many characters to insert, delete or replace.</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 0; i < a.Length; i++)
        {
            int diagonal = row[0]++;
            for (int j = 0; j < b.Length; j++)
            {
                int replaced = diagonal + (a[i] == b[j] ? 0 : 1);
                diagonal = row[j + 1];
                row[j + 1] = Math.Min(replaced, 1 + Math.Min(row[j], row[j + 1]));
            }
        }

        return row[b.Length];
    }
}
