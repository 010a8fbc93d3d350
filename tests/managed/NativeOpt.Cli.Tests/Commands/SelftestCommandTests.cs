using System.CommandLine;
using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Selftest;
using NativeOpt.Cli.Tests.Selftest;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

[Collection("settings of the process")] // it sets the instruction set and the number of threads
public sealed class SelftestCommandTests
{
    private static readonly string[] _few = ["--device", "cpu", "--quick", "--rules", "sgd", "--shapes", "awkward,empty"];

    /// <summary>Of all shapes, <see cref="Tests.Selftest.SelftestRunTests"/> runs the same cases.</summary>
    [Fact]
    public void Quick_on_the_cpu_passes_and_shows_every_rule()
    {
        Shell cli = Shell.Run("selftest", "--device", "cpu", "--quick", "--shapes", "awkward");
        Assert.Equal(0, cli.ExitCode);
        Assert.Equal("", cli.Error);
        Assert.DoesNotContain('\e', cli.Output);
        Assert.DoesNotContain("FAILED", cli.Output, StringComparison.Ordinal);
        string[] expected =
        [
            "baseline, 1 thread", "adam: done", "no decay", "l2 decay", "decoupled decay", "dimer global", "dimer per_tensor",
            "16-bit params", "16-bit states", "8-bit states", "mixed types", "grad options", "passed", "different", "canaries", " cases passed, 0 failed\n", .. NativeRuntime.Rules,
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }

        // The table fits a terminal.
        Assert.All(
            cli.Output.Split('\n').Where(static line => line.StartsWith('│')),
            static line => Assert.InRange(line.Length, 40, 80));
    }

    [Fact]
    public void Json_has_every_case()
    {
        Shell cli = Shell.Run(["selftest", "--json", .. _few]);
        Assert.Equal(0, cli.ExitCode);
        JsonElement json = cli.Json();
        Assert.Equal("cpu", json.GetProperty("device").GetString());
        Assert.Equal("baseline, 1 thread", json.GetProperty("compared_with").GetString());
        Assert.NotEqual(0, json.GetProperty("tested").GetArrayLength());
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        Assert.Equal(json.GetProperty("cases").GetInt32(), results.Length);
        Assert.Equal(json.GetProperty("passed").GetInt32(), results.Length);
        Assert.Equal(0, json.GetProperty("failed").GetInt32());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("fault").ValueKind);
        Assert.Equal(
            ["awkward", "empty"], results.Select(static one => one.GetProperty("shape").GetString()).Distinct());
        Assert.Contains(results, static one => one.GetProperty("options").GetString() == "momentum nesterov");
        Assert.Contains(
            results, static one => one.GetProperty("dimer").GetString() == "dimer per_tensor optimal escape");
        Assert.Contains(results, static one => one.GetProperty("storage").GetString() == "dynamic8 states");
        Assert.Contains(results, static one => one.GetProperty("gradients").GetString() == "skip");
        Assert.All(results, static one =>
        {
            Assert.Equal("sgd", one.GetProperty("rule").GetString());
            Assert.True(one.GetProperty("passed").GetBoolean());
            Assert.Equal(
                one.GetProperty("elements").GetInt64() == 0, one.GetProperty("elements_compared").GetInt64() == 0);
        });
        Assert.Contains("sgd: done", cli.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_difference_is_shown_and_is_no_success()
    {
        var fault = new Fault("param", 3, 4);
        Shell people = RunFaulty(fault, _few);
        Assert.Equal(1, people.ExitCode);
        string[] expected =
        [
            "FAILED", "FAILED: sgd plain on awkward aligned", "tensors of 0, 1, 3, 5, 55, ", "step 2, after nopt_optimizer_step",
            "param of tensor 3 at 4 is ", "(0x", " failed\n", "--json names all of them",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, people.Output, StringComparison.Ordinal);
        }

        Shell cli = RunFaulty(fault, [.. _few, "--json"]);
        Assert.Equal(1, cli.ExitCode);
        JsonElement json = cli.Json();
        JsonElement[] failures =
        [
            .. json.GetProperty("results").EnumerateArray().Where(static one => !one.GetProperty("passed").GetBoolean()),
        ];
        Assert.NotEmpty(failures);
        Assert.Equal(failures.Length, json.GetProperty("failed").GetInt32());
        JsonElement difference = failures[0].GetProperty("differences")[0];
        Assert.Equal("param", difference.GetProperty("what").GetString());
        Assert.Equal(3, difference.GetProperty("tensor").GetInt32());
        Assert.Equal(4, difference.GetProperty("index").GetInt32());
        Assert.StartsWith("0x", difference.GetProperty("actual_bits").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_canary_is_shown_as_one()
    {
        Shell cli = RunFaulty(new Fault("param", 3, 5), _few);
        Assert.Equal(1, cli.ExitCode);
        Assert.Contains("param of tensor 3 at 5 (a canary) is", cli.Output, StringComparison.Ordinal);
        Assert.Contains("not -12345.679 (0xc640e6b7)", cli.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_fault_of_the_device_is_an_error_and_nothing_more_is_run(bool json)
    {
        using StringWriter output = new(), error = new();
        var command = new SelftestCommand(output, error, Fault(new Fault("device")));
        var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false };
        SelftestFault fault = Assert.Throws<SelftestFault>(
            () => command.Parse(json ? [.. _few, "--json"] : _few).Invoke(configuration));
        Assert.Equal("sgd plain on awkward aligned: the device is on fire. The remaining cases were not run.", fault.Message);
        if (json)
        {
            using JsonDocument document = JsonDocument.Parse(output.ToString());
            Assert.Equal(
                "sgd plain on awkward aligned: the device is on fire.",
                document.RootElement.GetProperty("fault").GetString());
        }
        else
        {
            Assert.Contains("0 cases passed, 0 failed, ", output.ToString(), StringComparison.Ordinal);
            Assert.Contains(" not run", output.ToString(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Cancellation_shows_what_there_is(bool json)
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Shell cli = Shell.RunUntil(stop.Token, ["selftest", .. _few, .. json ? ["--json"] : Array.Empty<string>()]);
        Assert.Equal(130, cli.ExitCode);
        if (json)
        {
            Assert.True(cli.Json().GetProperty("cancelled").GetBoolean());
            Assert.Equal(0, cli.Json().GetProperty("results").GetArrayLength());
        }
        else
        {
            Assert.Contains(" not run: stopped, on request", cli.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy()
    {
        Refuse(["--rules", "adm"], "--rules adm", "did you mean adam?", "dualadam");
        Refuse(["--rules", "sgd,sgd"], "--rules sgd,sgd", "each once, separated by commas");
        Refuse(["--shapes", "awkwrd"], "--shapes awkwrd", "did you mean awkward?", "scalars");
        Refuse(["--seed", "-1"], "--seed -1", "from 0");
        Refuse(["--device", "gpu"], "--device gpu", "cpu, cuda or cuda:N");
        Refuse(["--device", "cuda:99"], "--device cuda:99", "cpu");
        Refuse(["--quik"], "--quik", "did you mean --quick?", "nativeopt selftest --help");
        if (Device.Count(Backend.Cuda) == 0)
        {
            Refuse(["--device", "cuda"], "--device cuda", "Use --device cpu");
        }

        static void Refuse(string[] args, params string[] words) => Shell.Run(["selftest", .. args]).AssertRefused(2, words);
    }

    [Fact]
    public void The_device_is_the_gpu_where_there_is_one()
    {
        JsonElement json = Shell.Run("selftest", "--json", "--quick", "--rules", "sgd", "--shapes", "empty").Json();
        Assert.Equal(
            Device.Count(Backend.Cuda) > 0 ? "cuda:0" : "cpu", json.GetProperty("device").GetString());
    }

    [SkippableFact]
    public void A_gpu_has_the_bits_of_the_cpu()
    {
        Skip.If(Device.Count(Backend.Cuda) == 0, "No CUDA device.");
        Shell cli = Shell.Run("selftest", "--device", "cuda", "--quick");
        Assert.True(cli.ExitCode == 0, cli.Output + cli.Error);
    }

    [SkippableFact]
    public async Task The_cuda_sources_on_the_host_have_the_bits_of_the_cpu()
    {
        string folder = typeof(SelftestCommandTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(static attribute => attribute.Key == "CudaOnHostDirectory").Value!;
        string library = Path.Combine(folder, "libnativeopt_cuda_on_host.so");
        Skip.IfNot(File.Exists(library), $"{library} was not built (Debian, Ubuntu: libboost-context-dev).");
        ProcessStartInfo start = new("dotnet")
        {
            ArgumentList = { typeof(SelftestCommand).Assembly.Location, "selftest", "--device", "cuda", "--quick" },
            Environment = { ["NATIVEOPT_LIBRARY"] = library },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, output + await error);
        Assert.Contains("CUDA on the host", output, StringComparison.Ordinal);
        Assert.Matches("[1-9][0-9]+ cases passed, 0 failed", output);
    }

    // In the last setting.
    private static SelftestModelFactory Fault(Fault fault)
    {
        var plan = new SelftestPlan(Device.Cpu, ["sgd"], [SelftestShape.Empty], isQuick: true);
        return FaultyModel.In(plan, plan.Settings.Count - 1, fault);
    }

    private static Shell RunFaulty(Fault fault, string[] args)
    {
        using StringWriter output = new(), error = new();
        int exitCode = new SelftestCommand(output, error, Fault(fault)).Parse(args).Invoke();
        return new Shell(exitCode, output.ToString(), error.ToString());
    }
}
