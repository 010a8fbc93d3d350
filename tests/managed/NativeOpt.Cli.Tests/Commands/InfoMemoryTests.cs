using System.Text.Json;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Shapes;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

/// <summary><c>nativeopt info --memory</c>.</summary>
public sealed class InfoMemoryTests
{
    [Theory]
    [InlineData("gpt2", 148, 124_439_808)]
    [InlineData("resnet50", 161, 25_557_032)]
    [InlineData("vit-s", 152, 22_050_664)]
    [InlineData("many-small", 11_000, 1_664_000)]
    [InlineData("few-large", 4, 268_435_456)]
    [InlineData("10x64,1x1000", 11, 1640)]
    [InlineData("1x1", 1, 1)]
    public void Shapes_have_the_tensors_of_their_models(string name, int tensors, long elements)
    {
        ModelShape shape = ModelShape.TryParse(name)!;
        Assert.Equal((name, tensors, elements), (shape.Name, shape.ElementCounts.Count, shape.ElementCount));
        Assert.Equal(!name.Contains("x1", StringComparison.Ordinal), ModelShape.KnownNames.Contains(name));
    }

    [Theory]
    [InlineData("")]
    [InlineData("gpt3")]
    [InlineData("1000")]
    [InlineData("0x5")]
    [InlineData("5x0")]
    [InlineData("-1x5")]
    [InlineData("2x3x4")]
    [InlineData("2x3,")]
    [InlineData("2x3,gpt2")]
    [InlineData("1000001x1")]
    [InlineData("999999x1,2x1")]
    [InlineData("1x9223372036854775807")]
    [InlineData("1000000x1125899907")]
    public void What_is_no_shape_is_refused(string text)
    {
        Assert.Null(ModelShape.TryParse(text));
        Shell.Run("info", "--memory", text).AssertRefused(2, $"--memory {text}", "gpt2, resnet50", "COUNTxSIZE", "10x64,1x1000");
    }

    [Fact]
    public void One_configuration_is_shown_buffer_by_buffer()
    {
        string[] args =
        [
            "info", "--memory", "10x64,1x1000", "--rule", "dualadam", "--amsgrad", "--dtype", "bfloat16", "--master",
            "remainder", "--state-dtype", "bfloat16", "--dimer", "recommended",
        ];
        JsonElement json = Shell.Run([.. args, "--json"]).Json();
        Assert.Equal(("10x64,1x1000", 11, 1640), (
            json.GetProperty("shape").GetString(),
            json.GetProperty("tensors").GetInt32(),
            json.GetProperty("elements").GetInt32()));
        JsonElement configuration = Assert.Single(json.GetProperty("configurations").EnumerateArray());
        Assert.Equal("dualadam bfloat16 remainder bfloat16 recommended", string.Join(
            ' ',
            new[] { "rule", "dtype", "master", "state_dtype", "dimer" }.Select(name => configuration.GetProperty(name).GetString())));
        Assert.Equal("amsgrad", Assert.Single(configuration.GetProperty("options").EnumerateArray()).GetString());

        // 10 times 64 elements fill whole units of 64 bytes; 1,000 are 2,000 bytes, of 2,048, or 4,000, of 4,032.
        const int Half = 1280 + 2048, Whole = 2560 + 4032;
        (string, int)[] expected =
        [
            ("exp_avg", Half), ("exp_avg_sq", Half), ("max_exp_avg_sq", Half), ("param_remainder", Half),
            ("direction", Whole), ("param_backup", Half), ("grad_backup", Half), ("rotation_direction", Whole),
        ];
        Assert.Equal(expected, configuration.GetProperty("buffers").EnumerateArray().Select(
            static buffer => (buffer.GetProperty("role").GetString()!, buffer.GetProperty("bytes").GetInt32())));
        Assert.Equal((6 * Half) + (2 * Whole), configuration.GetProperty("optimizer_bytes").GetInt32());
        Assert.Equal(3280, configuration.GetProperty("parameter_bytes").GetInt32());
        Assert.Equal(3280, configuration.GetProperty("gradient_bytes").GetInt32());
        Assert.Equal(33_152 / 1640.0, configuration.GetProperty("bytes_per_element").GetDouble());

        string text = Shell.Run(args).Output;
        Assert.Contains("11 tensors, 1,640 elements", text, StringComparison.Ordinal);
        string[] lines = text.Split('\n');
        foreach ((string role, int bytes) in (ReadOnlySpan<(string, int)>)[.. expected, ("optimizer", 33_152), ("all together", 39_712)])
        {
            Assert.Single(lines, line => line.Contains($" {role} ", StringComparison.Ordinal)
                && line.Contains($" {bytes:N0} ", StringComparison.Ordinal));
        }
    }

    /// <summary>Every option matters, and what is left out is as with the API.</summary>
    [Fact]
    public void Options_decide_on_the_bytes()
    {
        Assert.Equal(8, PerElement("--rule", "adam"));
        Assert.Equal(8, PerElement("--dtype", "float16"));
        Assert.Equal(8, PerElement("--rule", "invadam"));
        Assert.Equal(12, PerElement("--rule", "adamw", "--amsgrad"));
        Assert.Equal(0, PerElement("--rule", "sgd"));
        Assert.Equal(4, PerElement("--rule", "sgd", "--momentum"));
        Assert.Equal(2, PerElement("--rule", "sgd", "--momentum", "--state-dtype", "bfloat16"));
        Assert.Equal(4, PerElement("--state-dtype", "bfloat16"));
        Assert.Equal(4, PerElement("--state-dtype", "float16"));
        Assert.Equal(8, PerElement("--state-dtype", "dynamic8")); // 1,024 elements are few
        const double InBlocks = 2 * 1088 / 1024.0; // 4 blocks of 260 bytes, and 48 to a multiple of 64
        Assert.Equal(InBlocks, PerElement("--state-dtype", "dynamic8", "--min-dynamic8-elements", "0"));
        Assert.Equal(InBlocks, PerElement("--state-dtype", "dynamic8", "--min-dynamic8-elements", "1024"));
        Assert.Equal(8, PerElement("--state-dtype", "dynamic8", "--min-dynamic8-elements", "1025"));
        Assert.Equal(12, PerElement("--dtype", "float16", "--master", "float32"));
        Assert.Equal(10, PerElement("--dtype", "bfloat16", "--master", "remainder"));
        Assert.Equal(8 + 12, PerElement("--dimer", "published"));
        Assert.Equal(8 + 16, PerElement("--dimer", "recommended"));
        Assert.Equal(8 + 12, PerElement("--dimer", "recommended", "--dtype", "bfloat16"));

        static double PerElement(params string[] args) =>
            Assert.Single(Shell.Run(["info", "--memory", "1x1024", "--json", .. args]).Json().GetProperty("configurations")
                .EnumerateArray()).GetProperty("bytes_per_element").GetDouble();
    }

    [Fact]
    public void The_documentations_table_is_what_the_command_prints()
    {
        Shell cli = Shell.Run("info", "--memory", "gpt2");
        Assert.Equal(0, cli.ExitCode);
        string[] lines = cli.Output.TrimEnd().Split('\n');
        Assert.True(lines.Length > 10);
        HashSet<string> documented = [.. File.ReadLines(Path.Combine(RepositoryRoot.Path, "docs/memory.md"))];
        Assert.All(lines, line => Assert.Contains(line.TrimEnd(), documented));

        JsonElement json = Shell.Run("info", "--memory", "gpt2", "--json").Json();
        Assert.Equal(lines.Count(static line => line.StartsWith('│')) - 2, json.GetProperty("configurations").GetArrayLength());
        JsonElement adam = json.GetProperty("configurations")[2];
        Assert.Equal(8L * 124_439_808, adam.GetProperty("optimizer_bytes").GetInt64());
    }

    [Fact]
    public void Options_that_do_not_fit_are_refused()
    {
        Shell.Run("info", "--rule", "adam").AssertRefused(2, "--rule", "--memory");
        Shell.Run("info", "--amsgrad", "--json").AssertRefused(2, "--amsgrad", "--memory");
        string[] rules = [.. OptimizerPresets.Names];
        Refuse(["--rule", "adm"], "--rule adm", $"{string.Join(", ", rules[..^1])} or {rules[^1]}", "adamw");
        Refuse(["--rule", "sgd", "--amsgrad"], "--amsgrad", "--rule");
        Refuse(["--momentum"], "--momentum", "--rule sgd");
        Refuse(["--master", "float32"], "--master", "--dtype bfloat16");
        Refuse(["--dtype", "float16", "--master", "remainder"], "--master remainder", "--dtype bfloat16");
        Refuse(["--state-dtype", "float8"], "--state-dtype float8", "float32, bfloat16, float16 or dynamic8");
        Refuse(["--min-dynamic8-elements", "0"], "--min-dynamic8-elements", "--state-dtype dynamic8");
        Refuse(
            ["--state-dtype", "bfloat16", "--min-dynamic8-elements", "0"], "--min-dynamic8-elements", "--state-dtype dynamic8");
        Refuse(["--state-dtype", "dynamic8", "--min-dynamic8-elements", "-1"], "--min-dynamic8-elements -1", "from 0");
        Refuse(["--dimer", "big"], "--dimer big", "published or recommended");

        static void Refuse(string[] args, params string[] words) =>
            Shell.Run(["info", "--memory", "gpt2", .. args]).AssertRefused(2, words);
    }
}
