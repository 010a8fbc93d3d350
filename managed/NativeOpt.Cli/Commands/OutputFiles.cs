using System.Text;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Commands;

/// <summary>
/// Writes the files of a command's results. Each is replaced whole or not at all. A file that fails does not keep the command
/// from the others, and from printing what it has computed; after that, <see cref="ThrowIfLost"/> reports it.
/// </summary>
internal sealed class OutputFiles
{
    private readonly List<string> _lost = [];

    /// <summary>Makes a folder if it is missing, and tries to write to it.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="folder">Its path; null: there is nothing to do.</param>
    /// <exception cref="UsageException">It cannot be written to.</exception>
    public static void PrepareFolder(string option, string? folder) => Prepare(option, folder, static path =>
    {
        Directory.CreateDirectory(path);
        Probe(path);
    });

    /// <summary>Tries whether a file can be written, and leaves it as it is.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="file">Its path; null: there is nothing to do.</param>
    /// <exception cref="UsageException">It cannot be written.</exception>
    public static void PrepareFile(string option, string? file) => Prepare(option, file, static path =>
    {
        if (AtomicFile.IsWrittenToAsItIs(path) && !Directory.Exists(path))
        {
            return; // Who reads from a pipe would take an early end for the end.
        }

        string target = AtomicFile.TargetOf(path);
        if (Path.Exists(target))
        {
            new FileStream(target, FileMode.Open, FileAccess.Write, FileShare.ReadWrite).Dispose();
        }

        Probe(Path.GetDirectoryName(target)!);
    });

    /// <summary>Writes a file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="text">All of it.</param>
    /// <returns>Whether it was written; if not, it is as it was.</returns>
    public bool Write(string path, string text) => Write(path, file => file.Write(Encoding.UTF8.GetBytes(text)));

    /// <summary>Writes a file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="write">Writes all of it.</param>
    /// <returns>Whether it was written; if not, it is as it was.</returns>
    public bool Write(string path, Action<Stream> write)
    {
        try
        {
            AtomicFile.Write(path, write);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            _lost.Add($"{path} could not be written and is as it was: {error.Message}");
            return false;
        }
    }

    /// <summary>Writes files into a folder.</summary>
    /// <param name="folder">The folder's path.</param>
    /// <param name="files">Their names and texts.</param>
    /// <returns>The names of those that were written.</returns>
    public IReadOnlyList<string> Write(string folder, IEnumerable<(string Name, string Text)> files) =>
        [.. files.Where(file => Write(Path.Combine(folder, file.Name), file.Text)).Select(static file => file.Name)];

    /// <summary>
    /// Writes the files of a command's results, and then prints the results: a file that fails does not keep them from being
    /// printed, but printing may fail. The record of the run is the last file.
    /// </summary>
    /// <param name="terminal">Where it prints.</param>
    /// <param name="record">What there is to tell of the run beside its results.</param>
    /// <param name="folder">The folder of the files; null: none is written.</param>
    /// <param name="files">Their names and texts.</param>
    /// <param name="summary">Makes the JSON document.</param>
    /// <param name="show">Shows the results to people.</param>
    /// <param name="others">The names of files that the command has written there before.</param>
    public void Publish<T>(
        Terminal terminal,
        RunRecord record,
        string? folder,
        Func<IEnumerable<(string Name, string Text)>> files,
        Func<T> summary,
        Action show,
        IReadOnlyList<string>? others = null)
    {
        T document = summary();
        IReadOnlyList<string> written = folder is null ? [] : [.. Write(folder, files()), .. others ?? []];
        if (folder is not null)
        {
            written = [.. written, .. Write(folder, [record.File(written, document)])];
        }

        if (terminal.IsJson)
        {
            terminal.WriteJson(document);
        }
        else
        {
            show();
        }

        terminal.ShowFiles(folder, written);
    }

    /// <summary>Which files could not be written, and why, one a line; null if there are none.</summary>
    public string? Lost => _lost.Count > 0 ? string.Join(Environment.NewLine, _lost) : null;

    /// <summary>Reports the files that could not be written.</summary>
    /// <exception cref="OutputFault">There are some.</exception>
    public void ThrowIfLost() => ThrowIfAnyLost(Lost);

    /// <summary>Reports the files that could not be written, all of them at once.</summary>
    /// <param name="lost">What <see cref="Lost"/> says of each part of a command's files.</param>
    /// <exception cref="OutputFault">There are some.</exception>
    public static void ThrowIfAnyLost(params IEnumerable<string?> lost)
    {
        string[] all = [.. lost.OfType<string>()];
        if (all.Length > 0)
        {
            throw new OutputFault(string.Join(Environment.NewLine, all));
        }
    }

    private static void Probe(string folder)
    {
        string probe = Path.Combine(folder, Path.GetRandomFileName());
        new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose).Dispose();
    }

    private static void Prepare(string option, string? path, Action<string> prepare)
    {
        if (path is null)
        {
            return;
        }

        try
        {
            prepare(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"{option} {path}: {error.Message} Name something that can be written to.");
        }
    }
}
