using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Benchmarks;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Saddles;
using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

/// <summary>Every rule of the library is there in every command, with all that the library says of it.</summary>
[Collection("settings of the process")] // they train, which sets the number of threads
public sealed class RulesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Rules => [.. Rule.All.Select(static rule => rule.Name)];

    // The others need more than a call for a step.
    private static string[] OfOneCall => [.. OptimizerPresets.OfOneCall.Select(static preset => preset.Rule.Name).Distinct()];

    public static TheoryData<string> RulesOfOneCall => [.. OfOneCall];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Commands_offer_the_rules_of_the_library()
    {
        string[] rules = [.. Rule.All.Select(static rule => rule.Name)];
        Assert.NotEmpty(rules);
        Assert.Equal(rules, OptimizerPresets.All.Select(static preset => preset.Rule.Name).Distinct());
        Assert.All(rules, static rule => Assert.NotNull(OptimizerPresets.Find(rule)));
        Assert.Superset(rules.ToHashSet(), BenchRule.Default.Select(static rule => rule.Name).ToHashSet());
        Assert.Superset(
            rules.SelectMany(static rule => (string[])[rule, $"deo-{rule}-cached", $"deo-{rule}-update"]).ToHashSet(),
            BenchRule.All.Select(static rule => rule.Name).ToHashSet());
        Assert.Equal(["swats"], rules.Except(OfOneCall));
        Assert.Superset(OfOneCall.ToHashSet(), SaddleRule.All.Select(static rule => rule.Name).ToHashSet());
        Assert.Superset(
            OfOneCall.SelectMany(static rule => (string[])[rule, $"deo-{rule}"]).ToHashSet(),
            OptimizerRecipe.All.Select(static recipe => recipe.Name).ToHashSet());
    }

    [Theory]
    [InlineData("bench")]
    [InlineData("deo")]
    [InlineData("info")]
    [InlineData("landscape")]
    [InlineData("saddle")]
    [InlineData("train")]
    public void Help_names_the_rules(string command)
    {
        // A narrow help text breaks lines between words, and nowhere else.
        HashSet<string> words = [.. Shell.Run(command, "--help").Output.Split([' ', '\n', ',', '|', '.', ';', ':', '<', '>'])];
        string[] offered = command is "bench" or "info" ? [.. Rule.All.Select(static rule => rule.Name)] : OfOneCall;
        Assert.Superset(offered.ToHashSet(), words);
    }

    /// <summary>What is known here of a rule or a preset beyond what the library says is known of one that there is.</summary>
    [Fact]
    public void Presets_that_are_tuned_are_there() => Assert.Subset(
        OptimizerPresets.WithStates.Select(static preset => preset.Name).ToHashSet(), OptimizerPresets.Tuned.ToHashSet());

    /// <summary>Each option that gives a rule other states makes presets of its own, with just these states.</summary>
    [Fact]
    public void Presets_have_every_state()
    {
        foreach (Rule rule in Rule.All)
        {
            OptimizerPreset[] presets = [.. OptimizerPresets.WithStates.Where(preset => preset.Rule == rule)];
            Assert.Equal(
                rule.States.Select(static state => state.Name).Order(),
                presets.SelectMany(static preset => preset.Options.GetStates()).Select(static state => state.Name).Distinct().Order());
            Assert.Equal(presets.Length, presets.Select(static preset => preset.Name).Distinct().Count());
        }

        OptimizerPreset adamW = OptimizerPresets.Find("adamw")!;
        Assert.Equal(("adam", 0.01, true), (adamW.Rule.Name, adamW["weight_decay"], adamW.HasFlag("decoupled_weight_decay")));
        Assert.Equal(0.9, OptimizerPresets.WithStates.Single(static preset => preset.Name == "sgd-momentum")["momentum"]);
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void Info_describes_a_rule(string name)
    {
        Rule rule = Rule.Get(name);
        JsonElement json = Assert.Single(Shell.Run("info", "--rules", name, "--json").Json().EnumerateArray());
        Assert.Equal(
            (rule.Name, rule.Source, rule.Equations),
            (json.GetProperty("name").GetString(), json.GetProperty("source").GetString(), json.GetProperty("equations").GetString()));
        (string List, string[] Names)[] lists =
        [
            ("hyperparameters", [.. rule.Hyperparameters.Select(static own => own.Name)]),
            ("flags", [.. rule.Flags.Select(static own => own.Name)]),
            ("states", [.. rule.States.Select(static own => own.Name)]),
            ("inputs", [.. rule.Inputs.Select(static own => own.Name)]),
            ("running_scalars", [.. rule.RunningScalars.Select(static own => own.Name)]),
        ];
        string text = Shell.Run("info", "--rules", name).Output;
        Assert.Contains(rule.Equations.Split(' ')[0], text, StringComparison.Ordinal);
        foreach ((string list, string[] names) in lists)
        {
            Assert.Equal(names, json.GetProperty(list).EnumerateArray().Select(static own => own.GetProperty("name").GetString()));
            Assert.All(names, own => Assert.Contains($"│ {own} ", text, StringComparison.Ordinal));
        }

        Assert.Equal(
            rule.Hyperparameters.Select(static own => own.Default),
            json.GetProperty("hyperparameters").EnumerateArray().Select(static own => own.GetProperty("default").GetDouble()));
    }

    [Fact]
    public void Info_describes_all_rules_and_refuses_others()
    {
        Assert.Equal(
            Rule.All.Select(static rule => rule.Name),
            Shell.Run("info", "--rules", "--json").Json().EnumerateArray().Select(static own => own.GetProperty("name").GetString()));
        Shell.Run("info", "--rules", "quux").AssertRefused(2, "--rules quux", string.Join(", ", NativeRuntime.Rules));
        Shell.Run("info", "--rules", "--memory", "gpt2").AssertRefused(2, "--rules", "--memory");
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void Info_tells_the_memory_of_a_rule(string name)
    {
        string[] args = ["info", "--memory", "1x1024", "--rule", name, "--json"];
        Assert.Equal(new RuleOptions(name).GetStates().Count, States(args));
        foreach (StateSelector selector in StateSelector.Of(Rule.Get(name)))
        {
            OptimizerPreset with = selector.TurnOn(OptimizerPresets.Find(name)!);
            Assert.Equal(with.Options.GetStates().Count, States([.. args, $"--{selector.Name.Replace('_', '-')}"]));
        }

        static int States(string[] args) =>
            Shell.Run(args).Json().GetProperty("configurations")[0].GetProperty("buffers").GetArrayLength();
    }

    /// <summary>A trace may give every hyperparameter and every flag of a rule, each in its own step of the format.</summary>
    [Theory]
    [MemberData(nameof(Rules))]
    public void Replay_takes_every_option_of_a_rule(string name)
    {
        Rule rule = Rule.Get(name);
        JsonObject optimizer = new() { ["rule"] = name };
        foreach (Hyperparameter own in rule.Hyperparameters.Where(static own => !own.Name.StartsWith("beta", StringComparison.Ordinal)))
        {
            optimizer[own.Name == "switching_rate" ? "xi" : own.Name] = own.Name == "schedule" ? (JsonNode)"linear" : own.Default;
        }

        double[] betas =
        [
            .. rule.Hyperparameters.Where(static own => own.Name.StartsWith("beta", StringComparison.Ordinal))
                .Select(static own => own.Default),
        ];
        if (betas.Length > 0)
        {
            optimizer["betas"] = JsonSerializer.SerializeToNode(betas);
        }

        foreach (RuleFlag flag in rule.Flags.Where(static flag => !flag.Name.StartsWith("stochastic_rounding", StringComparison.Ordinal)))
        {
            optimizer[flag.Name switch
            {
                "decoupled_weight_decay" => "decoupled",
                "inverse_epsilon" => "inverse_eps",
                _ => flag.Name,
            }] = rule.DefaultFlags.Contains(flag);
        }

        // With a learning rate of 0, parameters stay; steps that have a least size must not have one.
        optimizer["lr"] = 0;
        if (optimizer.ContainsKey("step_size_min"))
        {
            optimizer["step_size_min"] = 0;
        }

        JsonObject step = new() { ["grads"] = new JsonArray(Vector(2)), ["params"] = new JsonArray(Vector(1)) };
        foreach (RuleInput input in rule.Inputs)
        {
            step[input.Name] = new JsonArray(Vector(3));
        }

        JsonObject trace = new()
        {
            ["format"] = "nativeopt-trace/1",
            ["source"] = "by hand",
            ["optimizer"] = optimizer,
            ["tensors"] = new JsonArray(new JsonObject { ["shape"] = new JsonArray(2), ["param"] = Vector(1) }),
            ["steps"] = new JsonArray(step),
            ["tolerance"] = new JsonObject { ["rtol"] = 0, ["atol"] = 1e-9 },
        };
        JsonElement result = Shell.Run("replay", _folder.Write("trace.json", trace.ToJsonString()), "--json").Json()[0];
        Assert.True(result.GetProperty("passed").GetBoolean(), result.GetProperty("reason").GetString());

        static JsonArray Vector(double value) => [value, value];
    }

    [Theory]
    [MemberData(nameof(RulesOfOneCall))]
    public void Training_takes_a_rule(string name)
    {
        string[] args =
            ["train", "--model", "tiny", "--steps", "3", "--compare", $"{name},deo-{name}", "--json", "--out", _folder.File("out")];
        JsonElement results = Shell.Run(args).Json().GetProperty("results");
        Assert.Equal([name, $"deo-{name}"], results.EnumerateArray().Select(static run => run.GetProperty("optimizer").GetString()));
        Assert.All(results.EnumerateArray(), static run => Assert.Equal("completed", run.GetProperty("end").GetString()));
    }
}
