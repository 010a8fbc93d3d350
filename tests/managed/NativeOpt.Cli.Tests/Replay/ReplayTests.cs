using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Replay;

public sealed class ReplayTests : TraceTests
{
    public static TheoryData<string> Traces => [.. TraceNames];

    private static IReadOnlyList<string> TraceNames =>
    [
        .. Directory.GetFiles(RepositoryRoot.Traces, "*.json").Select(static file => Path.GetFileNameWithoutExtension(file))
            .Order(StringComparer.Ordinal),
    ];

    [Fact]
    public void Every_rule_has_a_trace_of_its_own() =>
        Assert.Equal(
            NativeRuntime.Rules.Order(StringComparer.Ordinal),
            TraceNames.Select(static name => (string)Read(name)["optimizer"]!["rule"]!).Intersect(NativeRuntime.Rules)
                .Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Traces))]
    public void Own_trace_passes_with_room_to_spare(string name)
    {
        Shell cli = Shell.Run("replay", Trace(name), "--json");
        JsonElement result = Assert.Single(cli.Json().EnumerateArray());
        Assert.Equal(0, cli.ExitCode);
        Assert.True(result.GetProperty("passed").GetBoolean());
        Assert.InRange(result.GetProperty("worst_ratio").GetDouble(), 1e-6, 0.5);
    }

    [Theory]
    [MemberData(nameof(Traces))]
    public void A_spoiled_number_fails(string name)
    {
        JsonNode trace = Read(name);
        JsonNode parameters = trace["steps"]![6]!["params"]![3]!;
        double expected = parameters[2]!.GetValue<double>();
        JsonNode tolerance = trace["tolerance"]!;
        double allowed = tolerance["atol"]!.GetValue<double>() + (tolerance["rtol"]!.GetValue<double>() * Math.Abs(expected));
        parameters[2] = expected + (2 * allowed);
        Shell cli = Shell.Run("replay", Write("spoiled", trace));
        Assert.Equal(1, cli.ExitCode);
        Assert.Contains("FAILED", cli.Output, StringComparison.Ordinal);
        Assert.Contains("step 7, tensor 3, element 2", cli.Output, StringComparison.Ordinal);
        Assert.Contains("0 passed, 1 failed, 0 skipped", cli.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("adam", "lr", "0.0101")]
    [InlineData("adam", "betas", "[0.89, 0.999]")]
    [InlineData("adam", "betas", "[0.9, 0.99]")]
    [InlineData("adam", "eps", "0.0011")]
    [InlineData("adam", "weight_decay", "0.01")]
    [InlineData("adam", "maximize", "true")]
    [InlineData("adam", "decoupled", null)] // the default: no difference
    [InlineData("adam-l2-amsgrad", "amsgrad", "false")]
    [InlineData("adam-l2-amsgrad", "amsgrad", null)]
    [InlineData("adam-l2-amsgrad", "weight_decay", null)]
    [InlineData("adam-l2-amsgrad", "decoupled", "true")]
    [InlineData("adamw-maximize", "rule", "\"adam\"")] // still decoupled: no difference
    [InlineData("adamw-maximize", "decoupled", null)] // the default of adamw: no difference
    [InlineData("adamw-maximize", "weight_decay", null)]
    [InlineData("adamw-maximize", "maximize", "false")]
    [InlineData("invadam", "inverse_eps", "true")] // with an eps of 1e-8: no difference
    [InlineData("dualadam", "xi", "0.21")]
    [InlineData("dualadam", "xi", null)]
    [InlineData("dualadam", "decoupled", "false")]
    [InlineData("dualadam", "schedule", "\"exponential\"")]
    [InlineData("dualadam", "schedule", "\"fixed\"")]
    [InlineData("dualadam", "schedule", "\"given\"")]
    [InlineData("dualadam-inverse-eps", "inverse_eps", "false")]
    [InlineData("dualadam-inverse-eps", "rule", "\"invadam\"")]
    [InlineData("sgd", "weight_decay", null)]
    [InlineData("sgd-momentum-nesterov", "nesterov", "false")]
    [InlineData("sgd-momentum-nesterov", "momentum", "0.89")]
    [InlineData("sgd-dampening", "dampening", null)]
    public void Every_option_counts(string name, string option, string? value)
    {
        bool isSame = (name, option, value) is ("adam", "decoupled", null) or ("adamw-maximize", "rule", _)
            or ("adamw-maximize", "decoupled", null) or ("invadam", "inverse_eps", _);
        JsonNode changed = With(name, option, value);
        foreach (JsonNode? step in changed["steps"]!.AsArray())
        {
            step!.AsObject().Remove("states"); // parameters alone have to tell
        }

        Shell cli = Shell.Run("replay", Write("changed", changed), "--json");
        JsonElement result = Assert.Single(cli.Json().EnumerateArray());
        Assert.Equal(isSame, result.GetProperty("passed").GetBoolean());
        Assert.Equal(isSame, result.GetProperty("worst_ratio").GetDouble() <= 1);
        Assert.Equal(isSame ? 0 : 1, cli.ExitCode);
    }

    [Theory]
    [InlineData("deo-adam", "interval", "2")]
    [InlineData("deo-adam", "displacement", "0.51")]
    [InlineData("deo-adam", "rotation_rate", "0.0011")]
    [InlineData("deo-adam", "alpha", "5.01")]
    [InlineData("deo-adam", "force", "\"per-displacement\"")]
    [InlineData("deo-adam", "rotation", "\"maximum\"")]
    [InlineData("deo-adam", "correction", "\"escape\"")]
    [InlineData("deo-adam", "angle", "\"optimal\"")]
    [InlineData("deo-adam", "rotations", "2")]
    [InlineData("deo-adamw-escape", "correction", null)]
    [InlineData("deo-dualadam-optimal", "angle", null)]
    [InlineData("deo-sgd-conjugate", "angle", "\"optimal\"")]
    [InlineData("deo-dualadam-optimal", "rotations", null)]
    [InlineData("deo-dualadam-optimal", "rotation", "\"maximum\"")]
    [InlineData("deo-sgd-per-tensor", "rotation", "\"minimum\"")]
    public void Every_option_of_a_dimer_counts(string name, string option, string? value)
    {
        JsonNode trace = Read(name);
        Assert.True(trace["dimer"]!.AsObject().Remove(option));
        if (value is not null)
        {
            trace["dimer"]![option] = JsonNode.Parse(value);
        }

        Assert.False(Shell.Run("replay", Write("changed", trace), "--json").Json()[0].GetProperty("passed").GetBoolean());
    }

    [Fact]
    public void Directions_and_curvatures_are_compared()
    {
        JsonNode trace = Read("deo-sgd-per-tensor");
        JsonNode direction = trace["steps"]![4]!["directions"]![3]!;
        direction[1] = direction[1]!.GetValue<double>() + 4e-5;
        Shell turned = Shell.Run("replay", Write("turned", trace));
        Assert.Equal(1, turned.ExitCode);
        Assert.Contains("step 5, direction 3, element 1", turned.Output, StringComparison.Ordinal);

        trace = Read("deo-sgd-per-tensor");
        JsonNode curvature = trace["steps"]![4]!["curvature"]!;
        curvature[2] = curvature[2]!.GetValue<double>() + 2e-3;
        Shell curved = Shell.Run("replay", Write("curved", trace));
        Assert.Equal(1, curved.ExitCode);
        Assert.Contains("step 5, curvature 2", curved.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_that_torch_leaves_out_have_its_defaults()
    {
        JsonNode trace = Read("adamw-maximize");
        trace["optimizer"] = JsonNode.Parse("""{"rule": "adamw", "lr": 0.01, "maximize": true}""");
        JsonNode spelledOut = Read("adamw-maximize");
        spelledOut["optimizer"] = JsonNode.Parse(
            """
            {"rule": "adam", "decoupled": true, "lr": 0.01, "maximize": true, "betas": [0.9, 0.999], "eps": 1e-8,
             "weight_decay": 0.01, "amsgrad": false}
            """);
        JsonElement results =
            Shell.Run("replay", Write("a", trace), Write("b", spelledOut), "--json").Json();
        Assert.True(results[0].GetProperty("worst_ratio").GetDouble() > 1);
        Assert.Equal(
            results[0].GetProperty("worst_ratio").GetDouble(), results[1].GetProperty("worst_ratio").GetDouble());
    }

    [Theory]
    [InlineData("adam", "rule", "\"quux\"", "quux")]
    [InlineData("adam", "schedule", "\"fixed\"", "schedule: fixed")]
    [InlineData("adam", "inverse_eps", "true", "inverse_eps")]
    [InlineData("adam", "momentum", "0.9", "momentum")]
    [InlineData("adam", "nesterov", "true", "nesterov")]
    [InlineData("adam", "momentum_decay", "0.004", "momentum_decay")]
    [InlineData("adamw-maximize", "decoupled", "false", "decoupled")]
    [InlineData("adam", "dampening", "0.1", "dampening")]
    [InlineData("adam", "switch_step", "3", "switch_step")]
    [InlineData("sgd", "amsgrad", "true", "amsgrad")]
    [InlineData("sgd", "betas", "[0.9, 0.999]", "betas")]
    [InlineData("sgd", "eps", "1e-8", "eps")]
    public void What_a_rule_cannot_do_is_unsupported(string name, string option, string value, string named)
    {
        string file = Write("unsupported", With(name, option, value));
        Shell strict = Shell.Run("replay", file, "--json");
        Assert.Equal(1, strict.ExitCode);
        JsonElement result = Assert.Single(strict.Json().EnumerateArray());
        Assert.False(result.GetProperty("passed").GetBoolean());
        Assert.False(result.GetProperty("skipped").GetBoolean());
        Assert.Equal(JsonValueKind.Null, result.GetProperty("worst_ratio").ValueKind);
        Assert.StartsWith("unsupported: ", result.GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Contains(named, result.GetProperty("reason").GetString(), StringComparison.Ordinal);

        Shell lenient = Shell.Run("replay", file, Trace("sgd"), "--skip-unsupported", "--json");
        Assert.Equal(0, lenient.ExitCode);
        Assert.True(lenient.Json()[0].GetProperty("skipped").GetBoolean());
        Assert.False(lenient.Json()[0].GetProperty("passed").GetBoolean());
        Assert.True(lenient.Json()[1].GetProperty("passed").GetBoolean());
    }

    [Theory]
    [InlineData("sgd", "amsgrad", "false")]
    [InlineData("sgd", "dampening", "0")]
    [InlineData("adam", "dampening", "0")]
    [InlineData("adam", "schedule", "\"linear\"")]
    [InlineData("sgd", "xi", "8e-5")]
    [InlineData("adam", "xi", "0.5")]
    [InlineData("adam", "momentum", "0")]
    [InlineData("adam", "nesterov", "false")]
    [InlineData("dualadam", "schedule", "\"linear\"")]
    public void Options_that_say_nothing_may_be_there(string name, string option, string value) =>
        Assert.Equal(0, Shell.Run("replay", Write("neutral", With(name, option, value))).ExitCode);

    [Fact]
    public void A_quadratic_problem_makes_the_gradients()
    {
        // x <- x - 0.5 Hx with H = [[2, 1], [1, 4]], over a scalar and a vector.
        const string Text = """
            {
              "format": "nativeopt-trace/1", "source": "by hand",
              "optimizer": {"rule": "sgd", "lr": 0.5},
              "problem": {"kind": "quadratic", "hessian": [2, 1, 1, 4]},
              "tensors": [{"shape": [], "param": [1]}, {"shape": [1], "param": [-2]}],
              "steps": [{"params": [[1], [1.5]]}, {"params": [[-0.75], [-2]]}],
              "tolerance": {"rtol": 0, "atol": 1e-9}
            }
            """;
        Assert.Equal(0, Shell.Run("replay", Folder.Write("problem.json", Text)).ExitCode);
        string wrong = Text.Replace("[-0.75]", "[-0.7]", StringComparison.Ordinal);
        Assert.Equal(1, Shell.Run("replay", Folder.Write("wrong.json", wrong)).ExitCode);
    }

    /// <summary>States and running scalars are compared where a step has them, as parameters are.</summary>
    [Fact]
    public void States_are_compared()
    {
        const string Text = """
            {
              "format": "nativeopt-trace/1", "source": "by hand",
              "optimizer": {"rule": "adam", "lr": 0, "betas": [0.5, 0.75]},
              "tensors": [{"shape": [2], "param": [1, 2]}, {"shape": [], "param": [3]}],
              "steps": [
                {"grads": [[1, 2], [4]], "params": [[1, 2], [3]]},
                {"grads": [[0, 0], [0]], "params": [[1, 2], [3]],
                 "states": {"exp_avg": [[0.25, 0.5], [1]], "exp_avg_sq": [[0.1875, 0.75], [3]], "beta2_product": [0.5625, 0.5625]}}
              ],
              "tolerance": {"rtol": 0, "atol": 1e-9}
            }
            """;
        Assert.Equal(0, Shell.Run("replay", Folder.Write("states.json", Text)).ExitCode);
        AssertFails("[0.25, 0.5]", "[0.25, 0.625]", "step 2, exp_avg 0, element 1");
        AssertFails("0.5625]", "0.5]", "step 2, beta2_product 1");
        Shell other = Shell.Run(
            "replay", Folder.Write("other.json", Text.Replace("exp_avg_sq", "exp_inf", StringComparison.Ordinal)), "--json");
        Assert.Contains(
            "unsupported: the rule adam has no state exp_inf", other.Json()[0].GetProperty("reason").GetString(),
            StringComparison.Ordinal);

        void AssertFails(string from, string to, string place)
        {
            Shell cli = Shell.Run("replay", Folder.Write("wrong.json", Text.Replace(from, to, StringComparison.Ordinal)));
            Assert.Equal(1, cli.ExitCode);
            Assert.Contains(place, cli.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_dimer_by_hand_passes_and_a_broken_one_is_broken()
    {
        const string Text = """
            {
              "format": "nativeopt-trace/1", "source": "by hand",
              "optimizer": {"rule": "sgd", "lr": 0.5},
              "problem": {"kind": "quadratic", "hessian": [2]},
              "dimer": {"scope": "global", "interval": 1, "displacement": 0.01, "rotation_rate": 0.1, "alpha": 1,
                        "force": "difference", "rotation": "minimum"},
              "tensors": [{"shape": [1], "param": [1], "direction": [1]}],
              "steps": [{"params": [[1]], "directions": [[1]], "curvature": [2]}],
              "tolerance": {"rtol": 0, "atol": 1e-9}
            }
            """;
        // The only direction there is: alpha = 1 takes the whole gradient away.
        Assert.Equal(0, Shell.Run("replay", Folder.Write("dimer.json", Text)).ExitCode);
        AssertBroken(Text.Replace("\"interval\": 1", "\"interval\": 0", StringComparison.Ordinal), "interval");
        AssertBroken(Text.Replace("0.01", "0", StringComparison.Ordinal), "Displacement");
        AssertBroken(Text.Replace("\"direction\": [1]", "\"direction\": [0]", StringComparison.Ordinal), "direction");
        AssertBroken(
            Text.Replace("\"problem\": {\"kind\": \"quadratic\", \"hessian\": [2]},", "", StringComparison.Ordinal)
                .Replace("\"params\": [[1]]", "\"grads\": [[2]], \"params\": [[1]]", StringComparison.Ordinal),
            "problem");
        AssertBroken(Text.Replace("\"curvature\": [2]", "\"curvature\": [2, 2]", StringComparison.Ordinal), "curvature");
        AssertBroken(Text.Replace("\"minimum\"", "\"sideways\"", StringComparison.Ordinal), "dimer.rotation");
        AssertBroken(Text.Replace(", \"direction\": [1]", "", StringComparison.Ordinal), "direction");
    }

    [Fact]
    public void A_broken_file_does_not_hide_the_others()
    {
        Folder.Write("a.json", "{");
        File.Copy(Trace("adam"), Folder.File("b.json"));
        Folder.Write("c.txt", "no trace, and not asked for");
        JsonElement results = Shell.Run("replay", Folder.Path, "--json").Json();
        Assert.Equal(2, results.GetArrayLength());
        Assert.Equal(Folder.File("a.json"), results[0].GetProperty("file").GetString());
        Assert.Equal(Folder.File("b.json"), results[1].GetProperty("file").GetString());
        Assert.True(results[1].GetProperty("passed").GetBoolean());
    }

    [Fact]
    public void Json_has_these_members_and_is_alone_on_standard_output()
    {
        Shell cli = Shell.Run("replay", RepositoryRoot.Traces, "--json");
        Assert.Equal("", cli.Error);
        foreach (JsonElement result in cli.Json().EnumerateArray())
        {
            Assert.Equal(
                ["file", "rule", "worst_ratio", "passed", "skipped", "reason"],
                result.EnumerateObject().Select(static member => member.Name));
        }
    }

    [Fact]
    public void Text_shows_no_escape_sequences_in_a_file()
    {
        Shell cli = Shell.Run("replay", RepositoryRoot.Traces);
        Assert.Equal(0, cli.ExitCode);
        Assert.DoesNotContain('\e', cli.Output);
        Assert.Contains("dualadam-inverse-eps.json", cli.Output, StringComparison.Ordinal);
        Assert.Contains($"{TraceNames.Count} passed, 0 failed, 0 skipped", cli.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_there_is_named()
    {
        Shell.Run("replay", Folder.File("nothing.json")).AssertRefused(2, Folder.File("nothing.json"));
        Shell.Run("replay", Folder.Path).AssertRefused(2, Folder.Path, "*.json");
        Shell.Run("replay").AssertRefused(2, "argument missing", "replay --help");
    }

    [SkippableFact]
    public void A_gpu_gives_the_same_ratios_as_the_cpu_or_the_reason_why_there_is_none()
    {
        if (Device.Count(Backend.Cuda) == 0)
        {
            Shell.Run("replay", RepositoryRoot.Traces, "--device", "cuda").AssertRefused(2, "--device", "--device cpu");
            Skip.If(true, "No CUDA device.");
        }

        Assert.Equal(
            Shell.Run("replay", RepositoryRoot.Traces, "--json").Output,
            Shell.Run("replay", RepositoryRoot.Traces, "--json", "--device", "cuda").Output);
        Shell.Run("replay", RepositoryRoot.Traces, "--device", "cuda:99").AssertRefused(2, "cuda:99", "cuda:0");
    }

    [SkippableFact]
    public void Traces_of_others_pass()
    {
        string folder = Path.Combine(RepositoryRoot.Path, "..", "shared", "traces");
        Skip.IfNot(Directory.Exists(folder), "No traces beside the repository.");
        Shell cli = Shell.Run("replay", folder, "--skip-unsupported", "--json");
        Assert.Equal(0, cli.ExitCode);
        foreach (JsonElement result in cli.Json().EnumerateArray().Where(
            static result => !result.GetProperty("skipped").GetBoolean()))
        {
            Assert.InRange(result.GetProperty("worst_ratio").GetDouble(), 0, 0.5);
        }
    }

    [SkippableFact]
    public void Own_traces_are_what_the_script_writes()
    {
        string script = Path.Combine(RepositoryRoot.Traces, "generate.py");
        try
        {
            using Process python = Process.Start("python3", [script, Folder.Path]);
            python.WaitForExit();
            Assert.Equal(0, python.ExitCode);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Skip.If(true, "No python3.");
        }

        foreach (string file in Directory.GetFiles(Folder.Path))
        {
            Assert.Equal(File.ReadAllText(Path.Combine(RepositoryRoot.Traces, Path.GetFileName(file))), File.ReadAllText(file));
        }
    }
}
