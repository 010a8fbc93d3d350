namespace NativeOpt.Cli.Training;

/// <summary>What one run does, apart from the optimizer: runs of one plan start from the same weights and see the same
/// batches.</summary>
internal sealed record TrainingPlan(GptConfig Model, TrainingSchedule Schedule)
{
    /// <summary>Selects the weights, the batches and the sample.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Threads of the model and of the optimizer; null: all. It never changes a result.</summary>
    public int? Threads { get; init; }

    /// <summary>The dimer of the recipes that have one.</summary>
    public DimerOptions Dimer { get; init; } = DimerOptions.Recommended;

    /// <summary>How the parameters are stored.</summary>
    public TrainingPrecision Precision { get; init; } = TrainingPrecision.Float32;

    /// <summary>Where the optimizer runs; the model is computed by the CPU in any case.</summary>
    public Device Device { get; init; }

    /// <summary>Steps between two validations; there is one before the first and one after the last step, too.</summary>
    public int ValidationInterval { get; init; } = 100;

    /// <summary>Batches of one validation, always the same ones.</summary>
    public int ValidationBatches { get; init; } = 16;

    /// <summary>Gradients after which a run ends, those of a dimer and of estimates included; null: after all steps.</summary>
    public long? GradientBudget { get; init; }

    /// <summary>Steps between two estimates of the Hessian's diagonal, for the rules that take one; null: they get none.</summary>
    public int? HessianInterval { get; init; }

    /// <summary>Characters to generate at the end.</summary>
    public int SampleLength { get; init; } = 500;
}
