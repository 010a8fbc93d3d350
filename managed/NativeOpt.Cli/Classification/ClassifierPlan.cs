using NativeOpt.Cli.Classification.Data;
using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Classification;

/// <summary>A run to do.</summary>
/// <param name="Optimizer">The optimizer.</param>
/// <param name="LearningRate">Its first learning rate.</param>
/// <param name="Seed">Selects the first weights and the batches.</param>
internal sealed record ClassifierJob(ClassifierOptimizer Optimizer, double LearningRate, ulong Seed);

/// <summary>What <c>nativeopt classify</c> is to do.</summary>
internal sealed record ClassifierPlan
{
    public const int DefaultSeeds = 5, DefaultEpochs = 20, DefaultBatchSize = 128;

    // Of the training images, those held out while learning rates are chosen: 10,000 of Fashion-MNIST's 60,000.
    private const int HeldOutPart = 6;

    /// <summary>Training images that there must be: two are held out, and the others are enough for a batch.</summary>
    public const int FewestImages = 2 * HeldOutPart;

    /// <summary>The largest model: it and its optimizer take some gigabytes for each run that is done side by side.</summary>
    public const long MostParameters = 100_000_000;

    /// <summary>The learning rates that every optimizer tries unless others are asked for.</summary>
    public static IReadOnlyList<double> DefaultLearningRates { get; } = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2];

    /// <summary>The widths of the hidden layers unless others are asked for.</summary>
    public static IReadOnlyList<int> DefaultHidden { get; } = [256, 128];

    /// <summary>The images; wrong labels are in them.</summary>
    public required ImageData Images { get; init; }

    /// <summary>The part of the training labels that was made wrong.</summary>
    public double LabelNoise { get; init; }

    public required IReadOnlyList<ClassifierOptimizer> Optimizers { get; init; }

    /// <summary>What each optimizer tries on images that are held out; one: nothing is tried; null: each has its own.</summary>
    public IReadOnlyList<double>? LearningRates { get; init; } = DefaultLearningRates;

    /// <summary>The training images that are used; the seed selects which.</summary>
    public required int TrainImages { get; init; }

    public int Seeds { get; init; } = DefaultSeeds;

    /// <summary>The first of the seeds; it also selects synthetic images, wrong labels, and which images are used and held out.</summary>
    public ulong Seed { get; init; } = 1;

    public int Epochs { get; init; } = DefaultEpochs;

    public int BatchSize { get; init; } = DefaultBatchSize;

    public IReadOnlyList<int> Hidden { get; init; } = DefaultHidden;

    public RateSchedule Schedule { get; init; }

    /// <summary>The weight decay of all; null: each has its own.</summary>
    public double? WeightDecay { get; init; }

    /// <summary>Runs that are done side by side; it never changes a result.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Whether the optimizers' names are those of rules, and not of variants of one.</summary>
    public bool HasRuleNames => Optimizers.All(static optimizer => optimizer.Name == optimizer.Preset.Name);

    /// <summary>The model's widths, from the inputs to the classes.</summary>
    public IReadOnlyList<int> Widths => [Images.Train.Features, .. Hidden, Images.Classes];

    /// <summary>The model's parameters.</summary>
    public long ParameterCount => Widths.Zip(Widths.Skip(1)).Sum(static own => (own.First + 1L) * own.Second);

    /// <summary>Whether learning rates are tried.</summary>
    public bool Searches => LearningRates is { Count: > 1 };

    /// <summary>The images that are held out while learning rates are chosen.</summary>
    public int HeldOut => Math.Max(1, TrainImages / HeldOutPart);

    /// <summary>The seed of the runs that choose learning rates: none of the others.</summary>
    public ulong SearchSeed => ~Seed;

    /// <summary>The runs, those that choose learning rates included.</summary>
    public int RunCount => Optimizers.Count * (Seeds + (Searches ? LearningRates!.Count : 0));

    /// <summary>The runs that choose learning rates.</summary>
    public IReadOnlyList<ClassifierJob> SearchJobs =>
        Searches
            ? [.. from optimizer in Optimizers from rate in LearningRates! select new ClassifierJob(optimizer, rate, SearchSeed)]
            : [];

    /// <summary>The learning rate of an optimizer for which none is tried.</summary>
    public double FixedRate(ClassifierOptimizer optimizer) =>
        LearningRates is [var rate] ? rate : optimizer.Preset[OptimizerPresets.LearningRate];

    /// <summary>What decides what comes of a run beside its optimizer, learning rate and seed, which are in its name: so optimizers,
    /// learning rates and seeds can be added to what is finished.</summary>
    public object Identity => new
    {
        Images = Images.Name,
        TrainImages,
        LabelNoise,
        Seed,
        Epochs,
        BatchSize,
        Hidden,
        Schedule = Schedule.ToString(),
        WeightDecay,
        Digest = Images.Digest(),
    };
}
