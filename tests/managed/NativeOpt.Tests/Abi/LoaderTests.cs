using System.Runtime.InteropServices;
using NativeOpt.Interop;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Abi;

/// <summary>How the native library is found, and what is said if it is not. Each in a process of its own.</summary>
public class LoaderTests
{
    private const string Variable = NativeLibraryLoader.PathVariable;

    [Fact]
    public void Finds_the_library_beside_the_application()
    {
        (int exitCode, string output) = ChildProcess.RunSelf("version", (Variable, null));
        Assert.Equal((0, $"{NativeRuntime.Version} from {NativeRuntime.LoadedFrom}"), (exitCode, output.Trim()));
        Assert.StartsWith(Path.Combine(AppContext.BaseDirectory, "runtimes"), NativeRuntime.LoadedFrom, StringComparison.Ordinal);
    }

    /// <summary>The application has a library too, which may be of another version.</summary>
    [Fact]
    public void A_plugin_takes_the_library_beside_itself()
    {
        using TemporaryFolder folder = new();
        string library = folder.File(Path.GetFileName(NativeRuntime.LoadedFrom));
        File.Copy(NativeRuntime.LoadedFrom, library);
        Assert.Equal((0, $"{library}, asked for nothing"), RunPlugin(folder, knownLibrary: "none"));
    }

    [Fact]
    public void Asks_the_load_context_of_a_plugin()
    {
        using TemporaryFolder folder = new();
        string library = NativeRuntime.LoadedFrom;
        string name = OperatingSystem.IsWindows() ? "libnativeopt.dll" : "nativeopt";
        Assert.Equal((0, $"{Path.GetFileName(library)}, asked for {name}"), RunPlugin(folder, library));
    }

    [Fact]
    public void Takes_the_library_that_the_variable_names()
    {
        using TemporaryFolder folder = new();
        string copy = folder.File("copy.bin");
        File.Copy(NativeRuntime.LoadedFrom, copy);
        (int exitCode, string output) = ChildProcess.RunSelf("version", (Variable, copy));
        Assert.Equal((0, $"{NativeRuntime.Version} from {copy}"), (exitCode, output.Trim()));
    }

    [Fact]
    public void Names_the_missing_file_and_the_remedy()
    {
        string missing = Path.Combine(Path.GetTempPath(), "no-such-folder", "libnativeopt.so");
        (int exitCode, string output) = ChildProcess.RunSelf("version", (Variable, missing));
        Assert.Equal(1, exitCode);
        Assert.StartsWith("DllNotFoundException: NOPT2001: ", output, StringComparison.Ordinal);
        Assert.Contains($"\n  1. {missing}: no such file\n", output, StringComparison.Ordinal);
        Assert.DoesNotContain("\n  2. ", output, StringComparison.Ordinal);
        Assert.Contains($"The environment variable {Variable} names that file; correct it or unset it.", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Says_that_a_file_is_no_library()
    {
        using TemporaryFolder folder = new();
        string text = folder.File("text.so");
        File.WriteAllText(text, "This is no library.");
        (int exitCode, string output) = ChildProcess.RunSelf("version", (Variable, text));
        Assert.Equal(1, exitCode);
        Assert.Contains("NOPT2001", output, StringComparison.Ordinal);
        Assert.Contains($"\n  1. {text}: ", output, StringComparison.Ordinal);
    }

    /// <summary>A library without our version function counts as version 0.</summary>
    [SkippableFact]
    public void Refuses_a_library_of_another_abi_version()
    {
        string? other = Directory.EnumerateFiles(RuntimeEnvironment.GetRuntimeDirectory(), "*System.Native*")
            .FirstOrDefault(file => file.EndsWith(".so", StringComparison.Ordinal) || file.EndsWith(".dylib", StringComparison.Ordinal));
        Skip.If(other is null, "The runtime has no native library to take for ours.");
        (int exitCode, string output) = ChildProcess.RunSelf("version", (Variable, other));
        Assert.Equal(1, exitCode);
        Assert.StartsWith(
            $"BadImageFormatException: NOPT2002: the native library {other} has ABI version 0, but this assembly needs "
            + $"{NativeMethods.NOPT_ABI_VERSION}.",
            output, StringComparison.Ordinal);
        Assert.Contains(Variable, output, StringComparison.Ordinal);
    }

    [Fact]
    public void Numbers_every_place_where_it_looked()
    {
        // The application without its runtimes folder and without a .deps.json that would insist on all files.
        using TemporaryFolder folder = new();
        string source = AppContext.BaseDirectory;
        foreach (string file in Directory.EnumerateFiles(source, "NativeOpt*.dll")
            .Append(Path.ChangeExtension(ChildProcess.TestAssembly, ".runtimeconfig.json")))
        {
            File.Copy(file, folder.File(Path.GetFileName(file)));
        }

        (int exitCode, string output) = ChildProcess.Run(
            ChildProcess.DotNet,
            ["exec", folder.File(Path.GetFileName(ChildProcess.TestAssembly)), "version"],
            (Variable, null));
        Assert.Equal(1, exitCode);
        string[] tried = [.. output.Split('\n').Where(line => line.StartsWith("  ", StringComparison.Ordinal))];
        Assert.Equal(Enumerable.Range(1, tried.Length).Select(i => $"{i}."), tried.Select(line => line.Trim().Split(' ')[0]));
        Assert.Contains(Path.Combine(folder.Path, "runtimes"), tried[0], StringComparison.Ordinal);
        Assert.True(tried.Length >= 3, output);
        Assert.Contains("Add the package NativeOpt.Native.", output, StringComparison.Ordinal);
        Assert.Contains(Variable, output, StringComparison.Ordinal);
    }

    /// <summary>Loads a copy of the bindings in the folder as a plugin, whose context knows a library.</summary>
    private static (int ExitCode, string Output) RunPlugin(TemporaryFolder folder, string knownLibrary)
    {
        string assembly = folder.File("NativeOpt.Interop.dll");
        File.Copy(typeof(NativeLibraryLoader).Assembly.Location, assembly);
        (int exitCode, string output) = ChildProcess.Run(
            ChildProcess.DotNet, ["exec", ChildProcess.TestAssembly, "plugin", assembly, knownLibrary], (Variable, null));
        return (exitCode, output.Trim());
    }
}
