using System.Globalization;
using System.Runtime.InteropServices;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>What results were measured on, and with.</summary>
internal static class Machine
{
    private const string ProcessorsFile = "/proc/cpuinfo";
    private const string CachesFolder = "/sys/devices/system/cpu/cpu0/cache";

    /// <summary>Names and values, for people.</summary>
    public static IReadOnlyList<(string Name, string Value)> Describe(Device device)
    {
        List<(string, string)> lines =
        [
            ("Processor", Processor ?? "unknown"),
            ("Cores", Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture)),
            ("Caches of a core", Caches() ?? "unknown"),
            ("System", $"{RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})"),
            (".NET", RuntimeInformation.FrameworkDescription),
            ("NativeOpt", $"{CommandLine.Version}; library {NativeRuntime.Version}: {NativeRuntime.BuildInfo}"),
        ];
        if (Gpu(device) is { } gpu)
        {
            lines.Add(("GPU", gpu));
        }

        return lines;
    }

    /// <summary>The name of a GPU; null if the device is none.</summary>
    public static string? Gpu(Device device) =>
        device.Backend == Backend.Cuda && device.GetInfo() is { } gpu ? $"{gpu.Name}, compute capability {gpu.ComputeCapability}" : null;

    /// <summary>The name of the CPU; null if the system does not tell.</summary>
    public static string? Processor => ReadLines(ProcessorsFile)
        .Where(static line => line.StartsWith("model name", StringComparison.Ordinal))
        .Select(static line => line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim())
        .FirstOrDefault() ?? Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER");

    private static string? Caches()
    {
        if (!Directory.Exists(CachesFolder))
        {
            return null;
        }

        string[] caches =
        [
            .. Directory.GetDirectories(CachesFolder, "index*").Order(StringComparer.Ordinal)
                .Select(static folder => (Level: Read(folder, "level"), Type: Read(folder, "type"), Size: Read(folder, "size")))
                .Where(static cache => cache.Type != "Instruction")
                .Select(static cache => $"L{cache.Level} {cache.Size}"),
        ];
        return caches.Length > 0 ? string.Join(", ", caches) : null;

        static string Read(string folder, string name) => ReadLines(Path.Combine(folder, name)).FirstOrDefault("?");
    }

    private static IEnumerable<string> ReadLines(string path) => File.Exists(path) ? File.ReadLines(path) : [];
}
