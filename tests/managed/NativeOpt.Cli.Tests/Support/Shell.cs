using System.Text.Json;
using Xunit;

namespace NativeOpt.Cli.Tests.Support;

/// <summary>A command that ran in this process.</summary>
internal sealed record Shell(int ExitCode, string Output, string Error)
{
    public static Shell Run(params string[] args) => RunUntil(CancellationToken.None, args);

    public static Shell RunUntil(CancellationToken stop, params string[] args)
    {
        using StringWriter output = new(), error = new();
        int exitCode = Program.RunAsync(args, output, error, stop).GetAwaiter().GetResult();
        return new Shell(exitCode, output.ToString(), error.ToString());
    }

    /// <summary>Standard output as the one JSON document that it must be.</summary>
    public JsonElement Json()
    {
        Assert.True(Output.Length > 0, $"no document; exit code {ExitCode}: {Error}");
        using var document = JsonDocument.Parse(Output); // refuses anything before or after
        return document.RootElement.Clone();
    }

    /// <summary>Requires a refusal: nothing on standard output, no stack trace, a message with all of these words.</summary>
    public void AssertRefused(int exitCode, params string[] words)
    {
        Assert.Equal(exitCode, ExitCode);
        Assert.Equal("", Output);
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
        foreach (string word in words)
        {
            Assert.Contains(word, Error, StringComparison.Ordinal);
        }
    }
}
