using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace NativeOpt.Hosts.Tests.Samples;

/// <summary>Runs the samples. Each exits with 0 if its loss fell, and takes the learning rate as its first argument.</summary>
public class SampleTests
{
    // A system's own Python has the system's packages, also where another one comes first.
    private static readonly string[] Pythons = ["python3", "/usr/bin/python3"];

    [Theory]
    [InlineData("ArraysSample")]
    [InlineData("BuffersSample")]
    [InlineData("TensorsSample")]
    [InlineData("IlgpuSample")]
    public void A_sample_in_csharp_trains(string name)
    {
        string program = Path.Combine(AppContext.BaseDirectory, name + ".dll");
        RequireTraining("dotnet", program);
        RequireNoTrainingWithoutSteps("dotnet", program);
    }

    [SkippableTheory]
    [InlineData("train_numpy.py", "numpy")]
    [InlineData("train_torch.py", "torch")]
    public void A_sample_in_python_trains(string name, string module)
    {
        string? python = Pythons.FirstOrDefault(command => TryRun(command, "-c", $"import {module}") is { ExitCode: 0 });
        Skip.If(python is null, $"No python3 that has {module} was found (Debian, Ubuntu: apt-get install python3-{module}).");
        string program = Path.Combine(Root(), "samples", "python", name);
        RequireTraining(python!, program);
        RequireNoTrainingWithoutSteps(python!, program);
    }

    private static void RequireTraining(params string[] command)
    {
        (int exitCode, string output) = TryRun(command[0], command[1..])!.Value;
        Assert.True(exitCode == 0, output);
        Assert.Contains("step 0: loss ", output, StringComparison.Ordinal);
    }

    private static void RequireNoTrainingWithoutSteps(params string[] command)
    {
        (int exitCode, string output) = TryRun(command[0], [.. command[1..], "0"])!.Value;
        Assert.True(exitCode == 1, output);
    }

    /// <summary>Runs a command to its end, on the library that this process has loaded; null if there is no such command.</summary>
    private static (int ExitCode, string Output)? TryRun(string command, params string[] arguments)
    {
        ProcessStartInfo start = new(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["NATIVEOPT_LIBRARY"] = NativeRuntime.LoadedFrom;
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output + error.Result);
        }
        catch (Win32Exception)
        {
            return null;
        }
    }

    /// <summary>The folder of NativeOpt.sln, found upward from the test assembly.</summary>
    private static string Root()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "NativeOpt.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new DirectoryNotFoundException($"No NativeOpt.sln above {AppContext.BaseDirectory}.");
    }
}
