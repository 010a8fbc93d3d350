using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

public sealed class RepositoryTextTests
{
    [Theory]
    [InlineData("native/include/nativeopt/nativeopt.h")]
    [InlineData("native/src/cpu/kernels.cpp")]
    [InlineData("managed/NativeOpt/Optimizers/DualAdam.cs")]
    [InlineData("docs/trace-format.md")]
    [InlineData("CMakeLists.txt")]
    public void Holds_sources_and_documentation(string file) => Assert.Contains(
        File.ReadAllText(Path.Combine(RepositoryRoot.Path, file)).ReplaceLineEndings("\n"), RepositoryText.Read(),
        StringComparison.Ordinal);

    [Fact]
    public void Holds_nothing_that_a_build_makes()
    {
        string[] names = typeof(RepositoryText).Assembly.GetManifestResourceNames();
        Assert.DoesNotContain(names, static name => name.Contains("/obj/", StringComparison.Ordinal));
        Assert.DoesNotContain(names, static name => name.Contains("/bin/", StringComparison.Ordinal));
        Assert.DoesNotContain(names, static name => name.Contains("Generated", StringComparison.Ordinal));
        Assert.DoesNotContain(names, static name => name.Contains("artifacts", StringComparison.Ordinal));
        Assert.Equal(["report.css"], names.Where(static name => !name.StartsWith("text/", StringComparison.Ordinal))); // of the pages of runs
    }

    [Fact]
    public void Has_no_carriage_returns_and_is_the_same_each_time()
    {
        Assert.DoesNotContain('\r', RepositoryText.Read());
        Assert.Equal(RepositoryText.Read(), RepositoryText.Read());
    }
}
