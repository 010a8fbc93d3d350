using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Deo;

/// <summary>One training run of the protocol.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Variant">What is around it.</param>
/// <param name="LearningRate">The learning rate after the warm-up.</param>
/// <param name="Seed">Selects weights, batches and the dimer's first direction.</param>
internal sealed record DeoJob(OptimizerPreset Rule, DeoVariant Variant, double LearningRate, int Seed)
{
    /// <summary>What tells it from the others of a plan.</summary>
    public string Name => FormattableString.Invariant($"{Rule.Name}, {Variant.Name}, {LearningRate}, seed {Seed}");
}

/// <summary>What <c>nativeopt deo</c> is to do.</summary>
internal sealed record DeoPlan
{
    // Liu et al. 2023 estimate the Hessian's diagonal every 10 steps, and scale the Gauss-Newton-Bartlett estimate by this.
    private const int HessianInterval = 10;
    private const double Gamma = 0.05;

    private const int WarmUpFraction = 20; // of the steps, one in so many
    private const int ValidationInterval = 25; // the fewest steps from one to the next
    private const int Validations = 25; // the most
    private const int ValidationTokens = 4096;

    public required DeoShape Shape { get; init; }

    public required GptConfig Model { get; init; }

    public required IReadOnlyList<OptimizerPreset> Rules { get; init; }

    /// <summary>What is put around each rule; the first is nothing.</summary>
    public required IReadOnlyList<DeoVariant> Variants { get; init; }

    /// <summary>The learning rates of all rules; null: those of the shape, as factors of the rule's own.</summary>
    public IReadOnlyList<double>? LearningRates { get; init; }

    /// <summary>The seeds are 1 to this.</summary>
    public required int Seeds { get; init; }

    /// <summary>The gradients of a run, those of dimers and of Sophia's estimates included.</summary>
    public required int Gradients { get; init; }

    /// <summary>What a spike of the training loss is.</summary>
    public SpikeActivation Spike { get; init; } = new();

    /// <summary>Runs at a time, of one thread each; it never changes a result.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>All runs, seed by seed, so that what is finished early is whole.</summary>
    public IReadOnlyList<DeoJob> Jobs =>
    [
        .. from seed in Enumerable.Range(1, Seeds)
           from rule in Rules
           from rate in Rates(rule)
           from variant in Variants
           select new DeoJob(rule, variant, rate, seed),
    ];

    /// <summary>The learning rates of a rule.</summary>
    public IReadOnlyList<double> Rates(OptimizerPreset rule) =>
        LearningRates ?? [.. Shape.Factors.Select(factor => (double)((decimal)rule[OptimizerPresets.LearningRate] * (decimal)factor))];

    /// <summary>The rule as it is trained: one that takes the Hessian's diagonal is Sophia-G.</summary>
    public static OptimizerPreset Suited(OptimizerPreset preset)
    {
        OptimizerPreset own = OptimizerPresets.ForTraining(preset);
        return HessianEstimates.AreTakenBy(own) && own.HasHyperparameter("gamma") ? own.With("gamma", Gamma) : own;
    }

    /// <summary>How a run is trained: at a constant learning rate after the warm-up, so that a run is the beginning of a longer one
    /// and losses can be compared after any number of gradients.</summary>
    public TrainingPlan Training(DeoJob job) => new(
        Model, new TrainingSchedule(Gradients, Shape.BatchSize, job.LearningRate, Gradients / WarmUpFraction) { FinalFraction = 1 })
    {
        Seed = (ulong)job.Seed,
        Threads = 1,
        Dimer = job.Variant.Options ?? DimerOptions.Recommended,
        GradientBudget = Gradients,
        HessianInterval = HessianInterval,
        ValidationInterval = Math.Max(ValidationInterval, Gradients / Validations),
        ValidationBatches = ValidationTokens / (Shape.BatchSize * Model.ContextLength),
        SampleLength = 0,
    };

    /// <summary>All that decides what comes of the runs, for <see cref="Runs.FinishedRuns{TRun}"/>.</summary>
    /// <param name="data">The text.</param>
    /// <param name="alphaScale">The scale of the dimers' α, which their options hold as a function.</param>
    public DeoIdentity Identity(TextDataset data, double? alphaScale) => new(
        data.Digest,
        Model,
        Shape.BatchSize,
        [.. Rules.Select(rule => new DeoIdentity.Rule(rule.Name, [.. Rates(rule)]))],
        [.. Variants.Select(static variant => $"{variant.Name}: {variant.Options?.ToString() ?? "nothing"}")],
        alphaScale,
        Seeds,
        Gradients,
        Spike);
}

/// <summary>What tells the runs of a plan from those of another.</summary>
internal sealed record DeoIdentity(
    string Text,
    GptConfig Model,
    int BatchSize,
    DeoIdentity.Rule[] Rules,
    string[] Dimers,
    double? AlphaScale,
    int Seeds,
    int Gradients,
    SpikeActivation Spike)
{
    internal sealed record Rule(string Name, double[] LearningRates);
}
