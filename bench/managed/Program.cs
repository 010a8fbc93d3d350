using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace NativeOpt.Benchmarks;

/// <summary>
/// What a call costs a .NET host. The exit code is 1 if none was measured, one failed, or one allocated.
/// </summary>
internal static class Program
{
    public static int Main(string[] args)
    {
        // In this process: a project generated elsewhere would not find the native library or these build settings.
        IConfig config = DefaultConfig.Instance.AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance));
        Summary[] summaries = [.. BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config)];
        BenchmarkReport[] reports = [.. summaries.SelectMany(static summary => summary.Reports)];
        bool hasFailed = reports.Length == 0 || summaries.Any(static summary => summary.HasCriticalValidationErrors)
            || reports.Any(static report => !report.Success || Allocated(report) is null);
        foreach (BenchmarkReport report in reports.Where(static report => Allocated(report) > 0))
        {
            Console.Error.WriteLine($"{report.BenchmarkCase.DisplayInfo}: {Allocated(report)} bytes allocated by a call, not 0");
            hasFailed = true;
        }

        return hasFailed ? 1 : 0;
    }

    private static long? Allocated(BenchmarkReport report) => report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase);
}
