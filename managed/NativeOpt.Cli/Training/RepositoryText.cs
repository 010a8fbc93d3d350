using System.Reflection;
using System.Text;

namespace NativeOpt.Cli.Training;

/// <summary>The text to train on when no other is named: this repository's documentation and sources, as they were when
/// the program was built.</summary>
internal static class RepositoryText
{
    private const string Prefix = "text/";

    /// <summary>All files, in the order of their names, so that equal trees give equal texts on every system.</summary>
    public static string Read() => Read(static _ => true);

    /// <summary>Some of the files, in the order of their names.</summary>
    /// <param name="isWanted">Whether a file is wanted, by its path in the repository, such as "docs/rules.md".</param>
    public static string Read(Func<string, bool> isWanted)
    {
        Assembly assembly = typeof(RepositoryText).Assembly;
        IEnumerable<(string Resource, string Name)> files = assembly.GetManifestResourceNames()
            .Where(static name => name.StartsWith(Prefix, StringComparison.Ordinal))
            .Select(static name => (name, name.Replace('\\', '/')))
            .Where(file => isWanted(file.Item2[Prefix.Length..]))
            .OrderBy(static file => file.Item2, StringComparer.Ordinal);
        var text = new StringBuilder();
        foreach ((string resource, _) in files)
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8);
            text.Append(reader.ReadToEnd().ReplaceLineEndings("\n"));
        }

        return text.ToString();
    }
}
