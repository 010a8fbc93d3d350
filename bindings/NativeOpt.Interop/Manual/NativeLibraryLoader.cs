using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace NativeOpt.Interop;

/// <summary>
/// Finds and loads the native library at the first call into it, and checks once that it speaks this assembly's ABI.
/// </summary>
/// <remarks>
/// It looks at the file that the environment variable <c>NATIVEOPT_LIBRARY</c> names, and nowhere else if that is set.
/// Otherwise it looks, in this order, at <c>runtimes/&lt;rid&gt;/native/</c> beside this assembly and at the assembly's own
/// folder, so that a plugin takes its own copy; where .NET looks, which asks the assembly's load context (its
/// <see cref="System.Runtime.Loader.AssemblyLoadContext.LoadUnmanagedDll"/>), looks in the folders that the application's host
/// names, and asks the operating system; and at <c>runtimes/&lt;rid&gt;/native/</c> beside the application.
/// </remarks>
public static unsafe class NativeLibraryLoader
{
    /// <summary>The environment variable that names the library file to load.</summary>
    public const string PathVariable = "NATIVEOPT_LIBRARY";

    /// <summary>The library as DllImport names it.</summary>
    private const string ImportName = "nativeopt";

    private static readonly Lazy<nint> Handle = new(LoadAndCheck);

    /// <summary>The file's name; with the prefix on Windows too, where nativeopt.dll is the assembly NativeOpt.dll.</summary>
    private static string FileName =>
        OperatingSystem.IsWindows() ? "libnativeopt.dll"
        : OperatingSystem.IsMacOS() ? "libnativeopt.dylib"
        : "libnativeopt.so";

    /// <summary>What .NET is asked for: it adds prefix and suffix to a name, but on Windows no prefix.</summary>
    private static string NameForDotNet => OperatingSystem.IsWindows() ? FileName : ImportName;

    private static string PortableRid
    {
        get
        {
            string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
            return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        }
    }

    /// <summary>The file that was loaded, or the plain name if .NET or the operating system found it.</summary>
    public static string LoadedFrom { get; private set; } = "";

    /// <summary>Loads the library now, if it is not loaded yet.</summary>
    /// <exception cref="DllNotFoundException">No library could be loaded; the message numbers what was tried.</exception>
    /// <exception cref="BadImageFormatException">The library has another ABI version than this assembly.</exception>
    public static void EnsureLoaded() => _ = Handle.Value;

#pragma warning disable CA2255 // a library's own resolver must be in place before its first P/Invoke
    [ModuleInitializer]
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(
            typeof(NativeLibraryLoader).Assembly,
            static (name, _, _) => name == ImportName ? Handle.Value : 0);
#pragma warning restore CA2255

    private static nint LoadAndCheck()
    {
        nint handle = Load();
        // Not through NativeMethods: its resolver is waiting for this very value.
        uint version = NativeLibrary.TryGetExport(handle, "nopt_abi_version", out nint function)
            ? ((delegate* unmanaged[Cdecl]<uint>)function)()
            : 0;
        if (version != NativeMethods.NOPT_ABI_VERSION)
        {
            throw new BadImageFormatException(
                $"NOPT2002: the native library {LoadedFrom} has ABI version {version}, but this assembly needs "
                + $"{NativeMethods.NOPT_ABI_VERSION}. Use the library that was built with this version of NativeOpt"
                + $" (and check the environment variable {PathVariable}).",
                LoadedFrom);
        }

        return handle;
    }

    private static nint Load()
    {
        List<string> failures = [];
        string? forced = Environment.GetEnvironmentVariable(PathVariable);
        IEnumerable<string> candidates = string.IsNullOrEmpty(forced) ? Candidates() : [forced];
        foreach (string candidate in candidates)
        {
            if (Path.IsPathRooted(candidate) && !File.Exists(candidate))
            {
                failures.Add($"{candidate}: no such file");
                continue;
            }

            try
            {
                // Asked for a name, .NET looks as it would without a resolver.
                bool isName = candidate == NameForDotNet;
                nint handle = isName
                    ? NativeLibrary.Load(candidate, typeof(NativeLibraryLoader).Assembly, searchPath: null)
                    : NativeLibrary.Load(candidate);
                LoadedFrom = isName ? FileName : candidate;
                return handle;
            }
            catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
            {
                failures.Add($"{candidate}: {exception.Message.ReplaceLineEndings(" ")}");
            }
        }

        StringBuilder text = new();
        text.Append("NOPT2001: the native library of NativeOpt could not be loaded (");
        text.Append(RuntimeInformation.RuntimeIdentifier).Append("). Tried:");
        for (int i = 0; i < failures.Count; i++)
        {
            text.Append('\n').Append($"  {i + 1}. {failures[i]}");
        }

        text.Append('\n').Append(
            string.IsNullOrEmpty(forced)
                ? $"Add the package NativeOpt.Native.{PortableRid} if there is one, build the solution (it builds the library "
                    + $"through CMake), or set {PathVariable} to the library's path."
                : $"The environment variable {PathVariable} names that file; correct it or unset it.");
        throw new DllNotFoundException(text.ToString());
    }

    private static IEnumerable<string> Candidates()
    {
        string? own = OwnFolder();
        IEnumerable<string> besideAssembly = own is null ? [] : InRuntimes(own).Append(Path.Combine(own, FileName));
        return besideAssembly.Append(NameForDotNet).Concat(InRuntimes(AppContext.BaseDirectory)).Distinct();
    }

    /// <summary>Where the folder of an application or of a plugin keeps the libraries of several platforms.</summary>
    private static IEnumerable<string> InRuntimes(string folder) =>
        new[] { PortableRid, RuntimeInformation.RuntimeIdentifier }
            .Select(rid => Path.GetFullPath(Path.Combine(folder, "runtimes", rid, "native", FileName)));

    /// <summary>This assembly's folder; null if it was not loaded from a file, as in a single-file application.</summary>
    [UnconditionalSuppressMessage("SingleFile", "IL3000", Justification = "An empty location is taken for none.")]
    private static string? OwnFolder()
    {
        string location = typeof(NativeLibraryLoader).Assembly.Location;
        return location.Length == 0 ? null : Path.GetDirectoryName(location);
    }
}
