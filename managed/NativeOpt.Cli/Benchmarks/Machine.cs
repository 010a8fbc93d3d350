using System.Globalization;
using System.Runtime.InteropServices;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Benchmarks;

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
            ("Processor", ProcessorModel() ?? "unknown"),
            ("Cores", Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture)),
            ("Caches of a core", Caches() ?? "unknown"),
            ("System", $"{RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})"),
            (".NET", RuntimeInformation.FrameworkDescription),
            ("NativeOpt", $"{CommandLine.Version}; library {NativeRuntime.Version}: {NativeRuntime.BuildInfo}"),
        ];
        if (device.Backend == Backend.Cuda)
        {
            DeviceInfo gpu = device.GetInfo();
            lines.Add(("GPU", $"{gpu.Name}, compute capability {gpu.ComputeCapability}"));
        }

        return lines;
    }

    private static string? ProcessorModel() => ReadLines(ProcessorsFile)
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
