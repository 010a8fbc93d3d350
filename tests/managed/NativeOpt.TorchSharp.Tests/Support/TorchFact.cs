using System.Runtime.InteropServices;
using Xunit;

namespace TorchSharpAdapter;

/// <summary>A test that needs LibTorchSharp; it is skipped, with the reason, where that cannot be loaded.</summary>
public sealed class TorchFactAttribute : FactAttribute
{
    public TorchFactAttribute() => Skip = LibTorchSharp.WhyMissing;
}

/// <inheritdoc cref="TorchFactAttribute"/>
public sealed class TorchTheoryAttribute : TheoryAttribute
{
    public TorchTheoryAttribute() => Skip = LibTorchSharp.WhyMissing;
}

/// <summary>Whether LibTorchSharp can be loaded here.</summary>
internal static class LibTorchSharp
{
    private static readonly Lazy<string?> Reason = new(FindReason);

    /// <summary>The reason why it cannot be loaded, or null.</summary>
    public static string? WhyMissing => Reason.Value;

    // TorchSharp itself would copy all of libtorch to another folder and blame a missing package.
    private static string? FindReason()
    {
        (string rid, string name) = OperatingSystem.IsWindows() ? ("win-x64", "LibTorchSharp.dll")
            : OperatingSystem.IsMacOS() ? ("osx-arm64", "libLibTorchSharp.dylib")
            : ("linux-x64", "libLibTorchSharp.so");
        string file = Path.Combine(AppContext.BaseDirectory, "runtimes", rid, "native", name);
        if (!File.Exists(file))
        {
            return $"There is no {file}: TorchSharp has no libtorch for this machine.";
        }

        try
        {
            NativeLibrary.Free(NativeLibrary.Load(file));
            return null;
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            return $"LibTorchSharp cannot be loaded ({exception.Message.ReplaceLineEndings(" ")}); on Debian 12 run the tests by "
                + ".ci/with-newer-libstdcxx.";
        }
    }
}
