using System.CommandLine;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Benchmarks;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

[Collection("settings of the process")] // it sets the number of threads
public sealed class BenchCommandTests : IDisposable
{
    private static readonly string[] _few =
        ["--rules", "adamw,deo-adam-update", "--shapes", "5x40+1x3000,1x17", "--rounds", "3", "--threads", "2"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Json_has_every_row_and_its_numbers_agree()
    {
        Shell cli = Shell.Run(["bench", "--json", .. _few]);
        Assert.Equal(0, cli.ExitCode);
        JsonElement[] rows = [.. cli.Json().EnumerateArray()];
        Assert.Equal(
            ["adamw 5x40+1x3000", "deo-adam-update 5x40+1x3000", "adamw 1x17", "deo-adam-update 1x17"],
            rows.Select(static row => $"{row.GetProperty("rule").GetString()} {row.GetProperty("shape").GetString()}"));
        foreach (JsonElement row in rows)
        {
            bool isPlain = row.GetProperty("rule").GetString() == "adamw";
            bool isSmall = row.GetProperty("shape").GetString() == "1x17";
            Assert.Equal("cpu", row.GetProperty("backend").GetString());
            Assert.Equal(NativeRuntime.CpuInstructionSet, row.GetProperty("isa").GetString());
            Assert.Equal(2, row.GetProperty("threads").GetInt32());
            Assert.Equal("float32", row.GetProperty("dtype").GetString());
            Assert.Equal("float32", row.GetProperty("state_dtype").GetString());
            Assert.Equal("none", row.GetProperty("master").GetString());
            Assert.Equal(isSmall ? 17 : 3200, row.GetProperty("elements").GetInt64());
            Assert.Equal(isSmall ? 1 : 6, row.GetProperty("tensors").GetInt32());
            Assert.Equal(isPlain ? 28 : 52, row.GetProperty("bytes_per_element").GetDouble());
            Assert.Equal(3, row.GetProperty("rounds").GetInt32());
            double seconds = row.GetProperty("seconds").GetDouble();
            double floor = row.GetProperty("floor_seconds").GetDouble();
            double bytes = row.GetProperty("bytes_per_element").GetDouble() * row.GetProperty("elements").GetInt64();
            Assert.True(seconds > 0 && floor > 0);
            Assert.True(row.GetProperty("spread").GetDouble() >= 0 && row.GetProperty("floor_spread").GetDouble() >= 0);
            AssertClose(bytes / seconds / 1e9, row.GetProperty("gb_per_s").GetDouble());
            AssertClose(bytes / floor / 1e9, row.GetProperty("floor_gb_per_s").GetDouble());
            AssertClose(
                row.GetProperty("gb_per_s").GetDouble() / row.GetProperty("floor_gb_per_s").GetDouble(),
                row.GetProperty("floor_ratio").GetDouble());
            Assert.Contains(row.GetProperty("floor_form").GetString(), new[] { "woven", "blocks", "non-temporal" });
            string[] peers = isPlain ? ["loop", "unfused"] : [];
            Assert.Equal(peers, row.GetProperty("peers").EnumerateObject().Select(static peer => peer.Name));
            Assert.Equal(peers, row.GetProperty("peer_spreads").EnumerateObject().Select(static peer => peer.Name));
            Assert.All(row.GetProperty("peers").EnumerateObject(), static peer => Assert.True(peer.Value.GetDouble() > 0));
        }

        // What is meant for people is not on standard output.
        Assert.Contains("adamw, 1x17: ", cli.Error, StringComparison.Ordinal);

        static void AssertClose(double expected, double actual) => Assert.InRange(actual / expected, 1 - 1e-9, 1 + 1e-9);
    }

    [Fact]
    public void Files_say_the_same_as_the_table()
    {
        string folder = _folder.File("out");
        string json = _folder.File("results.json");
        Shell cli = Shell.Run(["bench", "--out", folder, "--json", json, .. _few]);
        Assert.Equal(0, cli.ExitCode);
        Assert.Equal("", cli.Error);
        Assert.Equal(File.ReadAllText(json), File.ReadAllText(Path.Combine(folder, "bench.json")));
        JsonElement[] rows = [.. JsonDocument.Parse(File.ReadAllText(json)).RootElement.EnumerateArray()];
        Assert.Equal(4, rows.Length);

        string markdown = File.ReadAllText(Path.Combine(folder, "bench.md"));
        string[] expected =
        [
            "- Processor: ", "- Cores: ", "- Caches of a core: ", "- System: ", "- .NET: ", "- NativeOpt: ", "- Date: ",
            NativeRuntime.BuildInfo, $"- Kernels: {NativeRuntime.CpuInstructionSet}, threads: 2\n",
            $"- Command: `nativeopt bench --out {folder} --json {json} {string.Join(' ', _few)}`\n",
            "## 5x40+1x3000: 6 tensors, 3,200 elements\n", "## 1x17: 1 tensors, 17 elements\n",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, markdown, StringComparison.Ordinal);
        }

        // All rows of a table have as many cells as its heading, and the numbers of the JSON document.
        string[] lines = [.. markdown.Split('\n').Where(static line => line.StartsWith('|'))];
        Assert.Equal(2 * (2 + 2), lines.Length);
        Assert.Single(lines.Select(static line => line.Count(static c => c == '|')).Distinct());
        Assert.All(
            lines.Where(static line => line.StartsWith("| adamw", StringComparison.Ordinal)).Zip([rows[0], rows[2]]),
            static pair => Assert.Contains(
                $"| {pair.Second.GetProperty("floor_ratio").GetDouble():0.00} |", pair.First, StringComparison.Ordinal));

        string[] texts =
        [
            .. XDocument.Load(Path.Combine(folder, "bench.svg")).Descendants()
                .Where(static element => element.Name.LocalName == "text").Select(static element => element.Value),
        ];
        string[] labels = ["GB/s", "nativeopt", "floor", "loop", "unfused", "adamw, 1x17", "deo-adam-update, 5x40+1x3000"];
        Assert.All(labels, label => Assert.Contains(label, texts));

        // Two sizes, of which one is that of several tensors, are no line.
        Assert.Contains("bench.json, bench.md, bench.svg, run.json\n", cli.Output, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(folder, "sizes.svg")));

        // A file compared with itself has not changed.
        cli = Shell.Run("bench", "--compare", json, json);
        Assert.Equal(0, cli.ExitCode);
        Assert.DoesNotContain("SLOWER", cli.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_types_have_no_peers()
    {
        JsonElement row = Shell.Run(
            "bench", "--json", "--rules", "adam", "--shapes", "3x100", "--dtype", "bfloat16", "--master", "remainder",
            "--state-dtype", "bfloat16", "--rounds", "1").Json()[0];
        Assert.Equal("bfloat16", row.GetProperty("dtype").GetString());
        Assert.Equal("bfloat16", row.GetProperty("state_dtype").GetString());
        Assert.Equal("remainder", row.GetProperty("master").GetString());
        Assert.Equal(18, row.GetProperty("bytes_per_element").GetDouble());
        Assert.Empty(row.GetProperty("peers").EnumerateObject());
    }

    [Fact]
    public void What_is_rounded_to_bfloat16_can_be_rounded_at_random()
    {
        string[] random = ["bench", "--json", "--rules", "adam", "--shapes", "3x100", "--rounds", "1", "--stochastic-rounding"];
        JsonElement row = Shell.Run([.. random, "--dtype", "bfloat16", "--state-dtype", "bfloat16"]).Json()[0];
        Assert.Equal("random", row.GetProperty("rounding").GetString());
        row = Shell.Run([.. random, "--dtype", "bfloat16", "--master", "remainder", "--state-dtype", "bfloat16"]).Json()[0];
        Assert.Equal("random", row.GetProperty("rounding").GetString());

        Shell cli = Shell.Run([.. random, "--dtype", "bfloat16", "--master", "remainder"]);
        Assert.Equal(2, cli.ExitCode);
        Assert.Contains("--stochastic-rounding: nothing is rounded to bfloat16", cli.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void States_of_8_bits_are_timed_where_tensors_are_large()
    {
        JsonElement[] rows =
        [
            .. Shell.Run(
                "bench", "--json", "--rules", "adam,deo-adam-update", "--shapes", "1x4096,1x100", "--state-dtype", "dynamic8",
                "--rounds", "1").Json().EnumerateArray(),
        ];
        Assert.Equal(
            [16.0625, 40.0625, 28, 52], rows.Select(static row => row.GetProperty("bytes_per_element").GetDouble()));
        Assert.All(rows, static row =>
        {
            Assert.Equal("dynamic8", row.GetProperty("state_dtype").GetString());
            Assert.True(row.GetProperty("seconds").GetDouble() > 0 && row.GetProperty("floor_seconds").GetDouble() > 0);
            Assert.Empty(row.GetProperty("peers").EnumerateObject());
        });
    }

    [Fact]
    public void Three_sizes_of_one_tensor_are_a_picture_of_their_own()
    {
        string folder = _folder.File("out");
        Shell cli = Shell.Run(
            "bench", "--rules", "sgd", "--shapes", "1x1,1x64,1x500", "--rounds", "1", "--no-peers", "--out", folder);
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("bench.json, bench.md, bench.svg, sizes.svg", cli.Output, StringComparison.Ordinal);
        Assert.Contains(
            XDocument.Load(Path.Combine(folder, "sizes.svg")).Descendants(),
            static element => element.Name.LocalName == "text" && element.Value == "nanoseconds per element");
    }

    [Fact]
    public void Without_peers_there_are_none()
    {
        Shell cli = Shell.Run("bench", "--rules", "sgd", "--shapes", "3x100", "--rounds", "1", "--no-peers");
        Assert.Equal(0, cli.ExitCode);
        Assert.Contains("  sgd", cli.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("unfused", cli.Output, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', cli.Output);
    }

    [Fact]
    public void Cancellation_shows_what_there_is()
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        string folder = _folder.File("out");
        Shell cli = Shell.RunUntil(stop.Token, ["bench", "--out", folder, .. _few]);
        Assert.Equal(130, cli.ExitCode);
        Assert.Contains("stopped, on request: 0 of 4 rows", cli.Output, StringComparison.Ordinal);
        Assert.Equal("[]\n", File.ReadAllText(Path.Combine(folder, "bench.json")));

        cli = Shell.RunUntil(stop.Token, ["bench", "--json", .. _few]);
        Assert.Equal(130, cli.ExitCode);
        Assert.Equal(0, cli.Json().GetArrayLength());
    }

    [Fact]
    public void A_fault_leaves_the_rows_before_it()
    {
        using StringWriter output = new(), error = new();
        string json = _folder.File("results.json");
        var run = new BenchRun(new BenchSettings(1, 0));
        var command = new BenchCommand(output, error, (row, progress, stop) => row.Rule.Name == "adamw"
            ? run.Measure(row, progress, stop) : throw new BenchFault("the memory is on fire."));
        var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false };
        BenchFault fault = Assert.Throws<BenchFault>(
            () => command.Parse(["--no-peers", "--json", json, .. _few]).Invoke(configuration));
        Assert.Equal("deo-adam-update, 5x40+1x3000: the memory is on fire. 1 of 4 rows were measured.", fault.Message);
        Assert.Equal("adamw", Assert.Single(BenchComparison.Read(json)).Rule);
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy()
    {
        Refuse(["--rules", "adm"], "--rules adm", "did you mean adam?", "deo-adam-update");
        Refuse(["--rules", "sgd,sgd"], "--rules sgd,sgd", "each once");
        Refuse(["--shapes", "gpt3"], "--shapes gpt3", "gpt2", "COUNTxSIZE");
        Refuse(["--shapes", "0x3"], "--shapes 0x3", "COUNTxSIZE");
        Refuse(["--shapes", "gpt2,gpt2"], "--shapes gpt2,gpt2", "each once");
        Refuse(["--shapes", "1x1000000000000"], "--shapes 1x1000000000000", "GiB", "fewer or smaller");
        Refuse(["--dtype", "int8"], "--dtype int8", "float32, bfloat16 or float16");
        Refuse(["--master", "float32"], "--master", "--dtype bfloat16");
        Refuse(["--dtype", "float16", "--master", "remainder"], "--master remainder", "--master float32");
        Refuse(["--state-dtype", "float8"], "--state-dtype float8", "float32, bfloat16, float16 or dynamic8");
        Refuse(["--threads", "0"], "--threads 0", "from 1 to 1024");
        Refuse(["--rounds", "0"], "--rounds 0", "from 1");
        Refuse(["--limit", "-1"], "--limit -1", "at least 0");
        Refuse(["--device", "gpu"], "--device gpu", "cpu, cuda or cuda:N");
        Refuse(["--round", "3"], "--round", "did you mean --rounds?", "nativeopt bench --help");
        string file = _folder.Write("file", "");
        Refuse(["--out", file], "--out", "can be written to");
        Refuse(["--json", _folder.File("none/results.json")], "--json", "can be written to");
        if (Device.Count(Backend.Cuda) == 0)
        {
            Refuse(["--device", "cuda"], "--device cuda", "Use --device cpu");
        }

        static void Refuse(string[] args, params string[] words) => Shell.Run(["bench", .. args]).AssertRefused(2, words);
    }
}
