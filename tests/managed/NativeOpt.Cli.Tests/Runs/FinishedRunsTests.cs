using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Runs;

/// <summary>Finished runs come back as they were, and only to the plan that they are of.</summary>
public sealed class FinishedRunsTests : IDisposable
{
    private static readonly Plan _plan = new(100, new Inner(0.1), ["adam", "sgd"]);

    private readonly TemporaryFolder _folder = new();

    private string FilePath => _folder.File(FinishedRuns<Run>.FileName);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Runs_come_back_with_the_same_bits()
    {
        double[] losses = [0.1, double.NaN, double.PositiveInfinity, -0.0, double.Epsilon, 1 / 3.0];
        FinishedRuns<Run> first = Open(resume: true, _plan);
        Assert.Null(first.Find("adam"));
        first.Add("adam", new Run(losses, 0.3f, null));
        first.Add("sgd", new Run([], float.NaN, 7));

        FinishedRuns<Run> second = Open(resume: true, _plan);
        Run adam = second.Find("adam")!;
        Assert.Equal(losses.Select(BitConverter.DoubleToUInt64Bits), adam.Losses.Select(BitConverter.DoubleToUInt64Bits));
        Assert.Equal((0.3f, null), (adam.Last, adam.Steps));
        Assert.Equal((float.NaN, 7), (second.Find("sgd")!.Last, second.Find("sgd")!.Steps));
        Assert.Null(second.Find("lion"));
    }

    [Fact]
    public void Without_resume_earlier_runs_stay_until_a_new_one_is_finished()
    {
        Open(resume: true, _plan).Add("adam", new Run([1], 1, 1));
        FinishedRuns<Run> anew = Open(resume: false, _plan);
        Assert.Null(anew.Find("adam"));
        Assert.NotNull(Open(resume: true, _plan).Find("adam"));

        anew.Add("sgd", new Run([2], 2, 2));
        Assert.Null(Open(resume: true, _plan).Find("adam"));
        Assert.NotNull(Open(resume: true, _plan).Find("sgd"));
    }

    [Fact]
    public void Another_plan_is_refused_by_what_differs()
    {
        Open(resume: true, _plan).Add("adam", new Run([1], 1, 1));
        byte[] before = File.ReadAllBytes(FilePath);
        Refused(_plan with { Inner = new Inner(0.2) }, "inner.rate, 0.1 there and 0.2 here");
        Refused(_plan with { Steps = 101 }, "steps, 100 there and 101 here");
        Refused(_plan with { Names = ["sgd", "adam"] }, "names, [\"adam\",\"sgd\"] there and [\"sgd\",\"adam\"] here");
        Assert.Equal(before, File.ReadAllBytes(FilePath));

        void Refused(Plan plan, string difference)
        {
            UsageException error = Assert.Throws<UsageException>(() => Open(resume: true, plan));
            Assert.Contains(difference, error.Message, StringComparison.Ordinal);
            Assert.Contains("--resume", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Another_version_is_refused()
    {
        Open(resume: true, _plan).Add("adam", new Run([1], 1, 1));
        File.WriteAllText(FilePath, File.ReadAllText(FilePath).Replace(NativeRuntime.Version, "0.0.1", StringComparison.Ordinal));
        UsageException error = Assert.Throws<UsageException>(() => Open(resume: true, _plan));
        Assert.Contains($"0.0.1 there and {NativeRuntime.Version} here", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[1, 2")]
    [InlineData("""{"version": "1"}""")]
    [InlineData("""{"version": "1", "plan": {"steps": 1, "steps": 2}, "runs": {}}""")]
    [InlineData("""{"version": null, "plan": {}, "runs": {}}""")]
    public void What_is_no_file_of_runs_is_refused(string text)
    {
        File.WriteAllText(FilePath, text);
        UsageException error = Assert.Throws<UsageException>(() => Open(resume: true, _plan));
        Assert.Contains(FilePath, error.Message, StringComparison.Ordinal);
        Assert.Equal(text, File.ReadAllText(FilePath));
    }

    [Fact]
    public void A_run_that_cannot_be_kept_is_reported_and_found_all_the_same()
    {
        Directory.CreateDirectory(FilePath);
        FinishedRuns<Run> runs = Open(resume: false, _plan);
        runs.Add("adam", new Run([1], 1, 1));
        Assert.NotNull(runs.Find("adam"));
        Assert.Contains(FilePath, runs.Lost, StringComparison.Ordinal);
    }

    private FinishedRuns<Run> Open(bool resume, Plan plan) => FinishedRuns<Run>.Open(_folder.Path, resume, plan);

    private sealed record Plan(int Steps, Inner Inner, string[] Names);

    private sealed record Inner(double Rate);

    private sealed record Run(double[] Losses, float Last, int? Steps);
}
