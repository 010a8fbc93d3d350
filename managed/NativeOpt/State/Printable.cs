using System.Globalization;
using System.Text;

namespace NativeOpt;

/// <summary>Makes text that comes from a file, or names one, fit for messages and terminals.</summary>
internal static class Printable
{
    /// <summary>
    /// The text with an escape such as \u001B in place of each character that a terminal would obey: control characters, and
    /// those that turn the direction of the text around them.
    /// </summary>
    /// <param name="text">The text.</param>
    /// <param name="maxLength">The characters after which the rest is left out.</param>
    public static string Of(string text, int maxLength = int.MaxValue)
    {
        if (text.Length <= maxLength && !text.Any(IsObeyed))
        {
            return text;
        }

        StringBuilder printable = new();
        foreach (char character in text.AsSpan(0, Math.Min(text.Length, maxLength)))
        {
            if (IsObeyed(character))
            {
                printable.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:X4}");
            }
            else
            {
                printable.Append(character);
            }
        }

        return printable.Append(text.Length > maxLength ? "…" : "").ToString();
    }

    /// <summary>The name of a tensor or a property in a file, or its value, in quotes and of readable length.</summary>
    public static string Quoted(string text) => $"\"{Of(text, 200)}\"";

    private static bool IsObeyed(char character) =>
        char.IsControl(character)
        || character is '\u061C' or '\u200E' or '\u200F' or (>= '\u2028' and <= '\u202E') or (>= '\u2066' and <= '\u2069');
}
