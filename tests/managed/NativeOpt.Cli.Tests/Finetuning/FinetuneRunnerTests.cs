using NativeOpt.Cli.Finetuning;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Finetuning;

/// <summary>Epochs, the choice of learning rates, the numbers that are told, and what becomes of runs that were stopped.</summary>
[Collection("settings of the process")] // they set the number of threads
public sealed class FinetuneRunnerTests : IDisposable
{
    private const int Context = 8;

    private static readonly string _text = string.Concat(Enumerable.Range(0, 60).Select(static i => $"{i} and {i + i}; "));
    private static readonly CharTokenizer _tokenizer = new(_text);
    private static readonly SavedGpt _start = Start();
    private static readonly FinetuneData _data = new(_text, _tokenizer, Context, batchSize: 4);

    private static readonly FinetunePlan _plan = new()
    {
        Recipes = [.. OptimizerRecipe.All.Where(static recipe => recipe.Name is "adamw" or "deo-adam")],
        Epochs = 2,
        BatchSize = 4,
        Seeds = 2,
        Threads = 2,
    };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_three_parts_are_the_text_and_an_epoch_has_each_window_once()
    {
        Assert.Equal<int>(_tokenizer.Encode(_text), _data.Training.Concat(_data.HeldOut).Concat(_data.Validation));
        Assert.Equal(_text.Length / 10, _data.HeldOut.Length);
        Assert.Equal(_text.Length / 10, _data.Validation.Length);

        int[] starts = _data.Epoch(seed: 1, epoch: 0);
        int[] ascending = [.. starts.Order()];
        Assert.Equal((_data.Training.Length - 1) / Context, starts.Length);
        Assert.All(ascending.Zip(ascending.Skip(1)), static pair => Assert.Equal(Context, pair.Second - pair.First));
        Assert.InRange(ascending[^1] + Context, 0, _data.Training.Length - 1); // and the token after it
        Assert.NotEqual(ascending, starts);
        Assert.NotEqual(starts, _data.Epoch(seed: 1, epoch: 1));
        Assert.NotEqual(starts, _data.Epoch(seed: 2, epoch: 0));
        Assert.Equal(starts, _data.Epoch(seed: 1, epoch: 0));
    }

    [Fact]
    public void The_loss_of_a_part_is_the_mean_over_its_windows()
    {
        const int Batch = 3;
        Gpt model = _start.ToModel(Batch);
        int windows = (_data.Validation.Length - 1) / Context;
        double[] losses =
        [
            .. Enumerable.Range(0, windows).Select(i => (double)model.Forward(
                _data.Validation.AsSpan(i * Context, Context), _data.Validation.AsSpan((i * Context) + 1, Context), 1)),
        ];
        Assert.NotEqual(0, windows % Batch); // the last batch is smaller
        Assert.Equal(losses.Average(), _data.Loss(model, _data.Validation), 1e-6);
    }

    [Fact]
    public void A_text_that_is_too_short_is_refused_by_its_length()
    {
        string needed = Assert.Throws<ArgumentException>(
            static () => new FinetuneData(_text[..50], _tokenizer, Context, 4)).Message;
        Assert.Contains("50 characters", needed, StringComparison.Ordinal);
        _ = new FinetuneData(_text[..100], _tokenizer, Context, 4);
    }

    [Fact]
    public void Runs_that_were_stopped_anywhere_end_in_the_same_bits()
    {
        FinetuneRunner whole = Runner("whole");
        List<string> names = [];
        whole.Run((name, _) => names.Add(name), static _ => { }, default);
        Assert.Equal(_plan.RunCount, names.Count);
        IReadOnlyList<FinetuneResult> expected = whole.Results();
        Assert.Equal(["adamw", "deo-adam"], expected.Select(static result => result.Name));
        Assert.All(expected, static result => Assert.Equal(3, result.Runs[0].Points.Count));

        // After each third run of those that are left, and once within an epoch.
        List<string> done = [];
        int rounds = 0;
        while (done.Count < names.Count)
        {
            using var stop = new CancellationTokenSource();
            int before = done.Count;
            FinetuneRunner runner = Runner("stopped", threads: 1);
            try
            {
                runner.Run(
                    (name, _) =>
                    {
                        done.Add(name);
                        if (done.Count == before + 3)
                        {
                            stop.Cancel();
                        }
                    },
                    epochs =>
                    {
                        if (rounds == 1 && epochs == 1)
                        {
                            stop.Cancel();
                        }
                    },
                    stop.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.True(done.Count < names.Count);
            }

            Assert.InRange(++rounds, 1, names.Count);
            Assert.True(done.Count >= 10 + 2 || runner.Results().Count == 0); // ten runs choose the rates
        }

        Assert.Equal(names.Order(), done.Order()); // none was done twice
        AssertSame(expected, Runner("stopped").Results());
        Assert.True(NativeRuntime.CpuThreads > 0);
    }

    [Fact]
    public void The_learning_rate_of_the_lowest_held_out_loss_is_chosen_and_more_seeds_can_be_added()
    {
        FinetuneRunner runner = Runner("more", seeds: 1);
        runner.Run(static (_, _) => { }, static _ => { }, default);
        FinetuneResult first = runner.Results()[0];
        Assert.Equal(FinetunePlan.RateFactors.Count, first.Tried.Count);
        Assert.Equal(first.Tried.MinBy(static run => run.HeldOutLoss)!.LearningRate, first.LearningRate);
        Assert.All(first.Tried, static run => Assert.Equal(0ul, run.Seed));
        Assert.Equal(
            FinetunePlan.RateFactors.Select(static factor => 0.002 * (double)factor),
            first.Tried.Select(static run => run.LearningRate),
            static (expected, actual) => Math.Abs(expected - actual) < 1e-12);

        List<string> names = [];
        FinetuneRunner more = Runner("more", seeds: 2);
        more.Run((name, _) => names.Add(name), static _ => { }, default);
        Assert.Equal(2, names.Count);
        Assert.All(names, static name => Assert.EndsWith(", seed 2", name, StringComparison.Ordinal));
        Assert.Equal(first.Runs[0].Points, more.Results()[0].Runs[0].Points);
        Assert.NotEqual(more.Results()[0].Runs[0].Points, more.Results()[0].Runs[1].Points);
    }

    [Fact]
    public void A_run_that_diverges_has_no_mean_and_is_never_chosen()
    {
        var diverged = new FinetuneRun(1, 0, [new FinetunePoint(0, 1, 1, 1)], IsDiverged: true);
        Assert.Equal(double.PositiveInfinity, diverged.HeldOutLoss);
        Assert.False(new FinetuneResult("adamw", 1, [], [diverged]).IsComplete);
        Assert.Empty(FinetuneComparison.All([Result("adamw", 1, 2), new FinetuneResult("sgd", 1, [], [diverged, diverged])]));
    }

    [Fact]
    public void Spreads_and_differences_are_those_of_the_seeds()
    {
        Assert.Equal(new Spread(2, 1), Spread.Of([1, 2, 3]));
        Assert.Equal(new Spread(5, double.NaN), Spread.Of([5])); // one number tells nothing of it

        // The gap of these is their validation loss; the differences by seed are 0.5 and 1.5.
        FinetuneComparison gap = FinetuneComparison.All([Result("a", 1, 2), Result("b", 1.5, 3.5)])
            .Single(static own => own.What == "generalisation gap");
        Assert.Equal(("b", "a", 1.0), (gap.Name, gap.Other, gap.Difference.Value));
        Assert.Equal((0.5, 1.5), (gap.Difference.Low, gap.Difference.High));
        Assert.Empty(FinetuneComparison.All([Result("a", 1), Result("b", 2)]));
    }

    private static FinetuneResult Result(string name, params double[] losses) => new(
        name, 1, [], [.. losses.Select(static (loss, i) => new FinetuneRun(1, (ulong)i, [new FinetunePoint(1, 0, 0, loss)], false))]);

    private static void AssertSame(IReadOnlyList<FinetuneResult> expected, IReadOnlyList<FinetuneResult> actual)
    {
        foreach ((FinetuneResult first, FinetuneResult second) in expected.Zip(actual))
        {
            Assert.Equal((first.Name, first.LearningRate), (second.Name, second.LearningRate));
            Assert.Equal(first.Runs.SelectMany(static run => run.Points), second.Runs.SelectMany(static run => run.Points));
            Assert.Equal(first.Tried.SelectMany(static run => run.Points), second.Tried.SelectMany(static run => run.Points));
        }

        Assert.Equal(expected.Count, actual.Count);
    }

    private FinetuneRunner Runner(string folder, int seeds = 2, int threads = 2)
    {
        string path = Directory.CreateDirectory(_folder.File(folder)).FullName;
        return new FinetuneRunner(
            _plan with { Seeds = seeds, Threads = threads }, _start, _data, FinishedRuns<FinetuneRun>.Open(path, resume: true, new { }));
    }

    private static SavedGpt Start()
    {
        var model = new Gpt(new GptConfig(_tokenizer.VocabularySize, Context, 1, 2, 8), 1, seed: 3);
        return new SavedGpt(model.Config, _tokenizer, "", [.. model.Parameters.Select(static own => own.Value)]);
    }
}
