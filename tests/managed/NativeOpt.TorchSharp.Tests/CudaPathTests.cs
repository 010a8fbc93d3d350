using System.Diagnostics;
using System.Reflection;
using Xunit;

namespace TorchSharpAdapter;

/// <summary>The way that CUDA tensors go, without a GPU: see <see cref="CudaPath"/>.</summary>
public class CudaPathTests
{
    [CudaOnHostFact]
    public async Task Cuda_tensors_get_the_bits_of_the_cpu()
    {
        ProcessStartInfo start = new("dotnet")
        {
            ArgumentList = { typeof(Program).Assembly.Location, "cuda-path" },
            Environment = { ["NATIVEOPT_LIBRARY"] = CudaOnHostFactAttribute.Library },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, output + await error);
        Assert.Equal(CudaPath.Cases.Keys.Select(static name => $"{name}: same"), output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}

/// <summary>A test that needs LibTorchSharp and the CUDA sources built for the host.</summary>
public sealed class CudaOnHostFactAttribute : FactAttribute
{
    public CudaOnHostFactAttribute() => Skip = LibTorchSharp.WhyMissing
        ?? (File.Exists(Library) ? null : $"{Library} was not built (Debian, Ubuntu: libboost-context-dev).");

    public static string Library { get; } = Path.Combine(
        typeof(CudaOnHostFactAttribute).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(static attribute => attribute.Key == "CudaOnHostDirectory").Value!,
        "libnativeopt_cuda_on_host.so");
}
