using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Replay;

/// <summary>What tests of traces have in common: the traces of the repository, and copies of them that are changed.</summary>
public abstract class TraceTests : IDisposable
{
    private protected TraceTests()
    {
    }

    private protected TemporaryFolder Folder { get; } = new();

    public void Dispose()
    {
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static string Trace(string name) => Path.Combine(RepositoryRoot.Traces, name + ".json");

    private protected static JsonNode Read(string name) => JsonNode.Parse(File.ReadAllText(Trace(name)))!;

    /// <summary>A trace with another value of an option, or without it.</summary>
    private protected static JsonNode With(string name, string option, string? value)
    {
        JsonNode trace = Read(name);
        trace["optimizer"]!.AsObject().Remove(option);
        if (value is not null)
        {
            trace["optimizer"]![option] = JsonNode.Parse(value);
        }

        return trace;
    }

    /// <summary>The node at a path such as "steps[2].params".</summary>
    private protected static JsonNode Find(JsonNode root, string path)
    {
        foreach (string part in path.Split(['.', '[', ']'], StringSplitOptions.RemoveEmptyEntries))
        {
            root = int.TryParse(part, out int index) ? root[index]! : root[part]!;
        }

        return root;
    }

    private protected string Write(string name, JsonNode trace) => Folder.Write(name + ".json", trace.ToJsonString());

    private protected void AssertBroken(string text, string named)
    {
        Shell cli = Shell.Run("replay", Folder.Write("broken.json", text), "--skip-unsupported", "--json");
        Assert.Equal(1, cli.ExitCode);
        JsonElement result = Assert.Single(cli.Json().EnumerateArray());
        Assert.False(result.GetProperty("passed").GetBoolean());
        Assert.False(result.GetProperty("skipped").GetBoolean());
        Assert.StartsWith("broken: ", result.GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Contains(named, result.GetProperty("reason").GetString(), StringComparison.Ordinal);
    }
}
