using System.Diagnostics;
using System.Runtime.Versioning;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>What becomes of a file that is saved over, and of the folder that it is in.</summary>
public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_failing_write_leaves_the_old_file()
    {
        string path = _folder.File("state");
        File.WriteAllText(path, "old");
        IOException full = new("No space left on device");
        IOException thrown = Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[100_000]);
            Assert.Equal("old", File.ReadAllText(path));
            throw full;
        }));
        Assert.Same(full, thrown);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder.Path));
    }

    /// <summary>A process that ends in the middle of a save: the next one into the folder clears up after it.</summary>
    [Fact]
    public void A_killed_process_leaves_the_old_file_and_the_next_save_removes_the_rest()
    {
        string path = _folder.File("state");
        string other = _folder.File("other");
        File.WriteAllText(path, "old");
        using (Process child =
            ChildProcess.Start(ChildProcess.DotNet, ["exec", ChildProcess.TestAssembly, "half-write", path]))
        {
            Assert.Equal("written", child.StandardOutput.ReadLine());

            // While it lives, its file is none of the others' business, however long it writes nothing.
            string temporary = Assert.Single(Directory.GetFiles(_folder.Path), file => file != path);
            File.SetLastWriteTimeUtc(temporary, DateTime.UtcNow.AddHours(-1));
            Save(other, "first");
            Assert.True(File.Exists(temporary));
            child.Kill();
            child.WaitForExit();
            Assert.True(File.Exists(temporary));
        }

        Assert.Equal("old", File.ReadAllText(path));
        Save(other, "second");
        Assert.Equal([other, path], Directory.GetFiles(_folder.Path).Order());
        Assert.Equal("second", File.ReadAllText(other));
    }

    [Fact]
    public void Files_of_the_user_with_similar_names_stay()
    {
        string[] own = [_folder.File("nativeopt-notes.tmp"), _folder.File($"nativeopt-{new string('X', 32)}.tmp")];
        foreach (string file in own)
        {
            File.WriteAllText(file, "mine");
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-1));
        }

        Save(_folder.File("state"), "new");
        Assert.All(own, static file => Assert.Equal("mine", File.ReadAllText(file)));
    }

    [Fact]
    public void A_path_that_ends_as_a_folders_is_refused()
    {
        Assert.Throws<IOException>(() => Save(_folder.File("state") + "/", "new"));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    /// <summary>As the processes of one training run do, which save their parts into one folder.</summary>
    [Fact]
    public void Saves_at_the_same_time_leave_each_other_alone()
    {
        string[] names = [.. Enumerable.Range(0, 16).Select(static i => $"part-{i}")];
        Parallel.ForEach(names, new ParallelOptions { MaxDegreeOfParallelism = names.Length }, name =>
        {
            for (int round = 0; round < 50; round++)
            {
                Save(_folder.File(name), $"{name}, {round}");
                Assert.Equal($"{name}, {round}", File.ReadAllText(_folder.File(name)));
            }
        });
        Assert.Equal(
            names.Order(StringComparer.Ordinal),
            Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.All(names, name => Assert.Equal($"{name}, 49", File.ReadAllText(_folder.File(name))));
    }

    [SkippableFact]
    public void Links_are_followed()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows lets administrators alone make symbolic links.");
        string target = Path.Join(Directory.CreateDirectory(_folder.File("far/deep")).FullName, "state");
        File.WriteAllText(target, "old");
        string near = _folder.File("near");
        File.CreateSymbolicLink(near, "far/deep/state");
        Save(near, "new");
        Assert.Equal(("new", "far/deep/state"), (File.ReadAllText(target), new FileInfo(near).LinkTarget));

        // Through a folder that is a link, from which the relative link does not count.
        Directory.CreateSymbolicLink(_folder.File("folder"), "far/deep");
        File.CreateSymbolicLink(_folder.File("far/deep/chain"), "../deep/up");
        File.CreateSymbolicLink(_folder.File("far/deep/up"), "../missing");
        Save(_folder.File("folder/chain"), "made");
        Assert.Equal("made", File.ReadAllText(_folder.File("far/missing")));
        Assert.Equal("../missing", new FileInfo(_folder.File("far/deep/up")).LinkTarget);
        Assert.Equal(4, Directory.GetFileSystemEntries(_folder.File("far"), "*", SearchOption.AllDirectories).Length - 1);

        File.CreateSymbolicLink(_folder.File("a"), "b");
        File.CreateSymbolicLink(_folder.File("b"), "a");
        IOException thrown = Assert.Throws<IOException>(() => Save(_folder.File("a"), "new"));
        Assert.Contains("symbolic links", thrown.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    [UnsupportedOSPlatform("windows")]
    public void A_private_file_stays_private_and_is_never_open_to_others()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        string path = _folder.File("state");
        File.WriteAllText(path, "old");
        UnixFileMode[] modes =
        [
            UnixFileMode.UserRead | UnixFileMode.UserWrite,
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead,
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherRead,
        ];
        foreach (UnixFileMode mode in modes)
        {
            File.SetUnixFileMode(path, mode);
            AtomicFile.Write(path, stream =>
            {
                UnixFileMode meanwhile = File.GetUnixFileMode(((FileStream)stream).Name);
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, meanwhile);
                stream.Write("new"u8);
            });
            Assert.Equal(mode, File.GetUnixFileMode(path));
            Assert.Equal("new", File.ReadAllText(path));
        }
    }

    /// <summary>A new file has what the process gives to any: the bits that its umask leaves.</summary>
    [SkippableFact]
    [UnsupportedOSPlatform("windows")]
    public void A_new_file_has_the_mode_of_any_other()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        File.WriteAllText(_folder.File("plain"), "");
        Save(_folder.File("state"), "new");
        Assert.Equal(File.GetUnixFileMode(_folder.File("plain")), File.GetUnixFileMode(_folder.File("state")));
    }

    [SkippableFact]
    public void The_owner_stays()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess, "Only root gives files away.");
        string path = _folder.File("state");
        File.WriteAllText(path, "old");
        Assert.Equal(0, ChildProcess.Run("chown", ["4711:4712", path]).ExitCode);
        Save(path, "new");
        Assert.Equal("4711:4712", ChildProcess.Run("stat", ["-c", "%u:%g", path]).Output.Trim());
        Assert.Equal("new", File.ReadAllText(path));
    }

    [SkippableFact]
    public void A_file_that_may_not_be_written_is_refused_before_the_work()
    {
        Skip.If(Environment.IsPrivilegedProcess, "Root may write every file.");
        string path = _folder.File("state");
        File.WriteAllText(path, "old");
        File.SetAttributes(path, FileAttributes.ReadOnly);
        Assert.Throws<UnauthorizedAccessException>(() => AtomicFile.Write(path, static _ => Assert.Fail("It is not asked.")));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
        File.SetAttributes(path, FileAttributes.Normal);
    }

    /// <summary>What a file system can name, up to 255 bytes, can be saved to.</summary>
    [Theory]
    [InlineData('x', 255)]
    [InlineData('\u00e4', 127)]
    public void Long_names_are_possible(char letter, int count)
    {
        string path = _folder.File(new string(letter, count));
        Save(path, "old");
        Save(path, "new");
        Assert.Equal("new", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    /// <summary>A pipe or a device has no other to be replaced by.</summary>
    [SkippableFact]
    public void A_pipe_is_written_to()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "Only Linux tells a pipe from a file.");
        string path = _folder.File("pipe");
        Assert.Equal(0, ChildProcess.Run("mkfifo", [path]).ExitCode);
        using Process reader = ChildProcess.Start("cat", [path]);
        try
        {
            Save(path, "new");
            Assert.Equal("fifo", ChildProcess.Run("stat", ["-c", "%F", path]).Output.Trim());
            Assert.Equal("new", reader.StandardOutput.ReadToEnd());
            Assert.Equal([path], Directory.GetFiles(_folder.Path));
        }
        finally
        {
            reader.Kill();
        }
    }

    private static void Save(string path, string text) =>
        AtomicFile.Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));
}
