using System.Text.Json.Nodes;
using Xunit;

namespace NativeOpt.Cli.Tests.Replay;

/// <summary>What is wrong with a trace file is named.</summary>
public sealed class TraceFormatTests : TraceTests
{
    [Theory]
    [InlineData("{", "not JSON")]
    [InlineData("", "not JSON")]
    [InlineData("[]", "object")]
    [InlineData("{}", "format")]
    [InlineData("{\"format\": \"nativeopt-trace/2\"}", "nativeopt-trace/2")]
    public void Other_files_are_broken(string text, string named) => AssertBroken(text, named);

    [Theory]
    [InlineData("source")]
    [InlineData("optimizer")]
    [InlineData("optimizer.rule")]
    [InlineData("optimizer.lr")]
    [InlineData("tensors")]
    [InlineData("tensors[1].shape")]
    [InlineData("tensors[1].param")]
    [InlineData("steps")]
    [InlineData("steps[2].grads")]
    [InlineData("steps[2].params")]
    [InlineData("tolerance.atol")]
    [InlineData("tolerance.rtol")]
    public void A_missing_member_is_named(string path)
    {
        JsonNode trace = Read("adam");
        int dot = path.LastIndexOf('.');
        Find(trace, dot < 0 ? "" : path[..dot]).AsObject().Remove(path[(dot + 1)..]);
        AssertBroken(trace.ToJsonString(), $"\"{path[(dot + 1)..]}\" is missing");
    }

    [Theory]
    [InlineData("tensors[0].param", "[1, 2]", "tensors[0].param")]
    [InlineData("tensors[0].shape", "[2, 4]", "tensors[0].param")]
    [InlineData("tensors[0].shape", "[2, -3]", "tensors[0].shape[1]")]
    [InlineData("tensors[0].shape", "[2.5]", "tensors[0].shape[0]")]
    [InlineData("tensors", "[]", "tensors")]
    [InlineData("steps", "[]", "steps")]
    [InlineData("steps[3].grads[3]", "[1]", "steps[3].grads[3]")]
    [InlineData("steps[3].grads", "[[]]", "steps[3].grads")]
    [InlineData("steps[3].params[3][2]", "null", "steps[3].params[3][2]")]
    [InlineData("steps[3].params[3][2]", "\"1\"", "steps[3].params[3][2]")]
    [InlineData("steps[3].params[3][2]", "1e999", "not finite")]
    [InlineData("steps[3].grads[3][2]", "1e39", "float32")]
    [InlineData("steps[3].params[3][2]", "NaN", "not JSON")]
    [InlineData("optimizer.lr", "-1", "optimizer.lr")]
    [InlineData("optimizer.betas", "[0.9]", "optimizer.betas")]
    [InlineData("optimizer.betas", "[0.9, 1]", "beta2")]
    [InlineData("optimizer.betas", "[0.9, 0.99, 0.999]", "optimizer.betas")]
    [InlineData("steps[3].hessian", "[]", "hessian")]
    [InlineData("steps[3].states", "{\"exp_avg\": [[1]]}", "steps[3].states.exp_avg")]
    [InlineData("optimizer.amsgrad", "1", "optimizer.amsgrad")]
    [InlineData("optimizer.schedule", "\"sideways\"", "optimizer.schedule")]
    [InlineData("optimizer.momemtum", "0", "momemtum")]
    [InlineData("tolerance.atol", "-1", "tolerance.atol")]
    [InlineData("stepz", "[]", "stepz")]
    [InlineData("problem", "{\"kind\": \"quadratic\", \"hessian\": []}", "hessian")]
    public void A_wrong_value_is_named(string path, string value, string named)
    {
        JsonNode trace = Read("adam");
        int end = path.LastIndexOfAny(['.', '[']);
        JsonNode parent = Find(trace, end < 0 ? "" : path[..end]);
        JsonNode marker = JsonValue.Create("HERE");
        if (end >= 0 && path[end] == '[')
        {
            parent[int.Parse(path[(end + 1)..^1], System.Globalization.CultureInfo.InvariantCulture)] = marker;
        }
        else
        {
            parent[path[(end + 1)..]] = marker;
        }

        AssertBroken(trace.ToJsonString().Replace("\"HERE\"", value, StringComparison.Ordinal), named);
    }

    [Fact]
    public void A_state_that_the_options_do_not_have_is_named() => AssertBroken(
        With("adam-l2-amsgrad", "amsgrad", "false").ToJsonString(), "max_exp_avg_sq is there");

    [Fact]
    public void A_member_that_occurs_twice_is_broken() =>
        AssertBroken(
            Read("adam").ToJsonString().Replace("\"source\"", "\"source\":\"\",\"source\"", StringComparison.Ordinal),
            "source");
}
