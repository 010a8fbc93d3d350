using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace NativeOpt;

/// <summary>Replaces a file whole or not at all.</summary>
internal static partial class AtomicFile
{
    private const string Prefix = "nativeopt-";
    private const string Suffix = ".tmp";
    private const int MostLinks = 40; // Linux has the same bound

    // On Unix a file is locked after it is made, and renamed before it is closed. Only what has not been written to for so
    // long is tried: to lock what another process is about to make or to rename would be in its way.
    private static readonly TimeSpan _leftoverAge = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Writes to a new file beside the target, brings it to the disk, and renames it over the target. Whatever fails, and
    /// whenever the process ends, the target is the old file or the new one.
    /// </summary>
    /// <remarks>
    /// Symbolic links are followed. The new file has the permissions of the old one and, on Linux, its owner and group as far
    /// as the process may give them. A device or a pipe cannot be replaced and is written to. What a process left behind
    /// that was killed while it saved goes with the next save into the same folder, a minute later or more.
    /// </remarks>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written, or is a folder.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        if (Path.EndsInDirectorySeparator(path))
        {
            throw new IOException($"{path}: it names a folder.");
        }

        string target = Path.GetFullPath(path);
        Stat? old = OperatingSystem.IsLinux() ? Stat.Of(target) : null;
        if (IsWrittenToAsItIs(path))
        {
            // What a descriptor leads to may be a file that others write to as well.
            using FileStream device = new(target, old is { IsRegular: true } ? FileMode.Append : FileMode.Open, FileAccess.Write);
            write(device);
            return;
        }

        target = TargetOf(path);
        string folder = Path.GetDirectoryName(target) ?? target;
        UnixFileMode? mode = null;
        if (File.Exists(target))
        {
            // What may not be written is refused before the work.
            new FileStream(target, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete).Dispose();
            mode = OperatingSystem.IsWindows() ? null : File.GetUnixFileMode(target);
        }

        RemoveLeftovers(folder);
        FileStream file = Create(folder, isPrivate: mode is not null);
        try
        {
            using (file)
            {
                write(file);
                if (!OperatingSystem.IsWindows() && mode is not null)
                {
                    Protect(file.SafeFileHandle, mode.Value, old);
                }

                file.Flush(flushToDisk: true);
                File.Move(file.Name, target, overwrite: true);
            }
        }
        catch (Exception exception)
        {
            File.Delete(file.Name);
            if (exception is ArgumentOutOfRangeException { ParamName: "value" })
            {
                // What .NET makes of EFBIG: FAT, for example, ends at 4 GiB.
                throw new IOException($"{target}: it is too large for the file system, or for what the process may write.", exception);
            }

            throw;
        }

        if (!OperatingSystem.IsWindows())
        {
            SyncFolder(folder);
        }
    }

    /// <summary>
    /// Whether a path is that of a device, a pipe or a descriptor (/dev/stdout), which is written to and cannot be replaced.
    /// </summary>
    public static bool IsWrittenToAsItIs(string path)
    {
        string full = Path.GetFullPath(path);
        return OperatingSystem.IsLinux() && Stat.Of(full) is { } stat
            && (!stat.IsRegular || full.StartsWith("/dev/", StringComparison.Ordinal) || full.StartsWith("/proc/", StringComparison.Ordinal));
    }

    /// <summary>The file that a path leads to, by any number of links, whether it exists or not.</summary>
    public static string TargetOf(string path)
    {
        path = Path.GetFullPath(path);
        for (int links = 0; links < MostLinks; links++)
        {
            // A relative link counts from where its folder really is.
            string folder = RealFolder(Path.GetDirectoryName(path) ?? path);
            path = Path.Join(folder, Path.GetFileName(path));
            if (new FileInfo(path).LinkTarget is not { } next)
            {
                return path;
            }

            path = Path.Combine(folder, next);
        }

        throw new IOException($"{path}: there are too many symbolic links, or they lead to each other.");
    }

    private static string RealFolder(string folder)
    {
        nint real = OperatingSystem.IsWindows() ? 0 : RealPath(folder, 0);
        try
        {
            return Marshal.PtrToStringUTF8(real) ?? folder;
        }
        finally
        {
            Marshal.FreeHGlobal(real); // free()
        }
    }

    /// <summary>A new file, open and locked until it has its final name, so that nobody takes it for a leftover.</summary>
    private static FileStream Create(string folder, bool isPrivate)
    {
        FileStreamOptions options = new()
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.Delete, // Windows renames a file that is open only with it
        };
        if (isPrivate && !OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileStream(Path.Join(folder, $"{Prefix}{Guid.NewGuid():N}{Suffix}"), options);
    }

    /// <summary>Deletes the files of saves that were killed: nobody writes to them or has them open.</summary>
    private static void RemoveLeftovers(string folder)
    {
        EnumerationOptions options = new() { IgnoreInaccessible = true }; // a folder may be one to write to alone
        foreach (string leftover in Directory.EnumerateFiles(folder, $"{Prefix}*{Suffix}", options))
        {
            if (!IsLeftover(Path.GetFileName(leftover)) || new FileInfo(leftover).LinkTarget is not null
                || IsWrittenToAsItIs(leftover) || DateTime.UtcNow - File.GetLastWriteTimeUtc(leftover) < _leftoverAge)
            {
                continue;
            }

            try
            {
                // It is deleted under the lock, and only if there is none yet.
                new FileStream(
                    leftover, FileMode.Open, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose).Dispose();
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // It is in use, or another user's.
            }
        }
    }

    /// <summary>Whether <see cref="Create"/> gives such names, which nobody else does.</summary>
    private static bool IsLeftover(string name) =>
        name.Length == Prefix.Length + 32 + Suffix.Length && name[Prefix.Length..^Suffix.Length].All(char.IsAsciiHexDigitLower);

    /// <summary>Gives a new file the owner, the group and the permissions of the old one.</summary>
    [UnsupportedOSPlatform("windows")]
    private static void Protect(SafeFileHandle file, UnixFileMode mode, Stat? old)
    {
        const uint Same = uint.MaxValue;
        int permissions = (int)mode & 0x1ff; // without set-user-ID and the like
        if (old is { } stat && ChangeOwner(file, stat.User, stat.Group) != 0 && ChangeOwner(file, Same, stat.Group) != 0)
        {
            // The group is another one, which may do no more than everybody.
            int everybody = permissions & 7;
            permissions &= ~0x38 | (everybody << 3);
        }

        try
        {
            File.SetUnixFileMode(file, (UnixFileMode)permissions);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The file system has permissions of its own. A file that it made private stays so.
        }
    }

    /// <summary>Brings a rename to the disk, as far as the file system can.</summary>
    [UnsupportedOSPlatform("windows")]
    private static void SyncFolder(string folder)
    {
        int descriptor = Open(folder, 0);
        if (descriptor >= 0)
        {
            _ = Sync(descriptor);
            _ = Close(descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "realpath", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint RealPath(string path, nint buffer);

    [LibraryImport("libc", EntryPoint = "fchown")]
    private static partial int ChangeOwner(SafeFileHandle file, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int Sync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    /// <summary>What Linux's statx tells of a file; its layout is the same on every architecture.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private readonly partial struct Stat
    {
        private const int CurrentFolder = -100; // AT_FDCWD
        private const uint TypeAndOwner = 0x1 | 0x8 | 0x10; // STATX_TYPE, STATX_UID, STATX_GID

        [FieldOffset(20)]
        public readonly uint User;

        [FieldOffset(24)]
        public readonly uint Group;

        [FieldOffset(28)]
        private readonly ushort _mode;

        public bool IsRegular => (_mode & 0xf000) == 0x8000; // S_IFMT, S_IFREG

        /// <summary>Of the file that a path leads to; null if there is none.</summary>
        [SupportedOSPlatform("linux")]
        public static Stat? Of(string path)
        {
            try
            {
                return Get(CurrentFolder, path, 0, TypeAndOwner, out Stat stat) == 0 ? stat : null;
            }
            catch (EntryPointNotFoundException)
            {
                return null; // glibc has it from 2.28 on
            }
        }

        [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
        private static partial int Get(int folder, string path, int flags, uint mask, out Stat stat);
    }
}
