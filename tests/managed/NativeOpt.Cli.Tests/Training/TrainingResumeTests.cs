using System.Text.Json.Nodes;
using System.Globalization;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>A run that is taken up again from its checkpoint has the bits of one that was never stopped.</summary>
public sealed class TrainingResumeTests : IDisposable
{
    private const int Steps = 12;

    private static readonly TextDataset _data = new(
        string.Concat(Enumerable.Range(0, 120).Select(static i => string.Create(CultureInfo.InvariantCulture, $"{i} and {i * i}\n"))), 8);

    private static readonly TrainingPlan _plan =
        new(new GptConfig(_data.Tokenizer.VocabularySize, 8, 1, 2, 16), new TrainingSchedule(Steps, 2, 1e-3, 3))
        {
            Threads = 1,
            ValidationInterval = 4,
            ValidationBatches = 2,
            SampleLength = 20,

            // An update of the dimer after the stop, and not at once.
            Dimer = DimerOptions.Recommended with { Interval = 3 },
        };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Optimizers => [.. OptimizerRecipe.All.Select(static recipe => recipe.Name)];

    public static TheoryData<string, string> Precisions
    {
        get
        {
            TheoryData<string, string> all = [];
            foreach (string optimizer in new[] { "adamw", "dualadam", "deo-adam" })
            {
                foreach (string precision in _precisions.Keys)
                {
                    all.Add(optimizer, precision);
                }
            }

            return all;
        }
    }

    private static readonly Dictionary<string, TrainingPrecision> _precisions = new()
    {
        ["bfloat16 parameters with remainders"] = new(DType.BFloat16, MasterWeights.Remainder),
        ["bfloat16 parameters with masters"] = new(DType.BFloat16, MasterWeights.Float32),
        ["bfloat16 parameters rounded at random"] = new(DType.BFloat16, MasterWeights.None, true) { RoundingSeed = 1 },
        ["bfloat16 states"] = TrainingPrecision.Float32 with { StateType = DType.BFloat16 },
        ["bfloat16 states rounded at random"] =
            TrainingPrecision.Float32 with { StateType = DType.BFloat16, StochasticRoundingStates = true, RoundingSeed = 1 },
        ["dynamic8 states"] = TrainingPrecision.Float32 with { StateType = DType.Dynamic8, MinDynamic8ElementCount = 0 },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void Every_optimizer_goes_on_with_the_same_bits(string optimizer) => SameBits(optimizer, _plan);

    [Theory]
    [MemberData(nameof(Precisions))]
    public void Every_precision_goes_on_with_the_same_bits(string optimizer, string precision) =>
        SameBits(optimizer, _plan with { Precision = _precisions[precision] });

    [Fact]
    public void A_run_that_was_killed_goes_on_from_its_last_checkpoint()
    {
        TrainingRun whole = Run("adam", _plan, null, null);
        TrainingCheckpoint killed = Open("adam", _plan);
        killed.Interval = TimeSpan.Zero; // before each step
        Assert.Throws<TimeoutException>(() => Train("adam", _plan, killed, static status =>
        {
            if (status.Step == 7)
            {
                throw new TimeoutException();
            }
        }));
        List<int> steps = [];
        Train("adam", _plan, Open("adam", _plan), status => steps.Add(status.Step));
        Assert.Equal(7, steps[0]); // the first step that is new
        AssertSame(whole, Train("adam", _plan, Open("adam", _plan), static _ => { }));
    }

    [Fact]
    public void Another_plan_and_a_damaged_file_are_refused()
    {
        Run("adam", _plan, Open("adam", _plan), stopAt: 5);
        string path = _folder.File(TrainingCheckpoint.FileName("adam"));
        byte[] bytes = File.ReadAllBytes(path);
        Assert.Contains(
            "seed, 1 there and 2 here",
            Assert.Throws<UsageException>(() => Open("adam", _plan with { Seed = 2 })).Message,
            StringComparison.Ordinal);

        // One loss less than steps of the optimizer, and a loss that is missing.
        Refused(() => Run("adam", _plan, Edited(static points => points.RemoveAt(points.Count - 1)), null));
        Refused(() => Edited(static points => points[2]!["train_loss"] = null));
        Refused(() => Edited(static points => points.RemoveAt(0)));

        File.WriteAllBytes(path, bytes[..^1]);
        TrainingCheckpoint short1 = Open("adam", _plan);
        Refused(() => Run("adam", _plan, short1, null));
        File.WriteAllBytes(path, bytes[..100]);
        Refused(() => Open("adam", _plan));
        File.WriteAllText(path, "");
        Refused(() => Open("adam", _plan));

        TrainingCheckpoint Edited(Action<JsonArray> edit)
        {
            using var reader = new BinaryReader(new MemoryStream(bytes));
            JsonNode progress = JsonNode.Parse(reader.ReadString())!;
            edit(progress["points"]!.AsArray());
            using (var writer = new BinaryWriter(File.Create(path)))
            {
                writer.Write(progress.ToJsonString());
                writer.Write(bytes.AsSpan((int)reader.BaseStream.Position));
            }

            return Open("adam", _plan);
        }

        void Refused(Action action)
        {
            string message = Assert.Throws<UsageException>(action).Message;
            Assert.Contains(path, message, StringComparison.Ordinal);
            Assert.Contains("--resume", message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_checkpoint_that_cannot_be_written_is_reported_and_does_not_end_the_run()
    {
        Directory.CreateDirectory(_folder.File(TrainingCheckpoint.FileName("adam")));
        TrainingCheckpoint checkpoint = Open("adam", _plan);
        Assert.Equal(TrainingEnd.Cancelled, Run("adam", _plan, checkpoint, stopAt: 5).End);
        Assert.Contains("adam.checkpoint", checkpoint.Lost, StringComparison.Ordinal);
    }

    private void SameBits(string optimizer, TrainingPlan plan)
    {
        TrainingRun whole = Run(optimizer, plan, null, null);
        Assert.Equal(Steps + 1, whole.Points.Count);

        // Twice, once between two validations and once at one.
        TrainingRun part = Run(optimizer, plan, Open(optimizer, plan), stopAt: 5);
        Assert.Equal((TrainingEnd.Cancelled, 5), (part.End, part.Steps));
        Assert.Equal(8, Run(optimizer, plan, Open(optimizer, plan), stopAt: 8).Steps);
        AssertSame(whole, Run(optimizer, plan, Open(optimizer, plan), stopAt: null));
    }

    private static void AssertSame(TrainingRun whole, TrainingRun resumed)
    {
        Assert.Equal(whole.Points, resumed.Points);
        Assert.Equal(whole.Parameters.Select(static own => own.Value), resumed.Parameters.Select(static own => own.Value));
        Assert.Equal(whole.Sample, resumed.Sample);
        Assert.Equal(whole.End, resumed.End);
        Assert.True(resumed.StepTime > TimeSpan.Zero);
    }

    private TrainingCheckpoint Open(string optimizer, TrainingPlan plan) =>
        TrainingCheckpoint.Open(_folder.Path, optimizer, resume: true, RunPlan.Of(plan with { Device = default }));

    private static TrainingRun Run(string optimizer, TrainingPlan plan, TrainingCheckpoint? checkpoint, int? stopAt)
    {
        using var stop = new CancellationTokenSource();
        return Train(optimizer, plan, checkpoint, StopThere, stop.Token);

        void StopThere(TrainingStatus status)
        {
            if (status.Step == stopAt)
            {
                stop.Cancel();
            }
        }
    }

    private static TrainingRun Train(
        string optimizer, TrainingPlan plan, TrainingCheckpoint? checkpoint, Action<TrainingStatus> report, CancellationToken stop = default)
    {
        OptimizerRecipe recipe = OptimizerRecipe.All.Single(own => own.Name == optimizer);
        return new Trainer(plan, _data).Run(recipe, recipe.LearningRate, 0.1, report, stop, checkpoint);
    }
}
