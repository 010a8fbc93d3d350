using System.Diagnostics;
using System.Runtime.InteropServices;

namespace NativeOpt.Tests.Support;

/// <summary>Runs a command, or Program.Main of this assembly in a process of its own.</summary>
internal static class ChildProcess
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    /// <summary>The host that runs this test: three folders above the framework's.</summary>
    public static string DotNet { get; } = Path.GetFullPath(
        Path.Combine(
            RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet"));

    public static string TestAssembly { get; } = typeof(ChildProcess).Assembly.Location;

    public static (int ExitCode, string Output) Run(
        string file, IEnumerable<string> arguments, params (string Name, string? Value)[] environment)
    {
        using Process process = Start(file, arguments, environment);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{file} {string.Join(' ', arguments)} did not end.");
        }

        return (process.ExitCode, output + errors.Result);
    }

    public static (int ExitCode, string Output) RunSelf(
        string argument, params (string Name, string? Value)[] environment) =>
        Run(DotNet, ["exec", TestAssembly, argument], environment);

    public static Process Start(
        string file, IEnumerable<string> arguments, params (string Name, string? Value)[] environment)
    {
        ProcessStartInfo start = new(file, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string? value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }
}
