namespace NativeOpt.Cli.Training;

/// <summary>How long and how fast to train: a linear warm-up, then a half cosine down to a part of the peak.</summary>
/// <param name="Steps">Number of optimizer steps.</param>
/// <param name="BatchSize">Sequences in a step.</param>
/// <param name="PeakLearningRate">The learning rate after the warm-up.</param>
/// <param name="WarmupSteps">Steps over which the learning rate rises.</param>
internal sealed record TrainingSchedule(int Steps, int BatchSize, double PeakLearningRate, int WarmupSteps)
{
    /// <summary>The last learning rate, as a part of the peak; 1: it stays where it is after the warm-up.</summary>
    public double FinalFraction { get; init; } = 0.1;

    /// <summary>What suits <see cref="GptConfig.Default"/> and an Adam-like optimizer.</summary>
    public static TrainingSchedule Default { get; } = new(3000, 8, 3e-3, 100);

    /// <summary>A short run of the same model, for comparing optimizers.</summary>
    public static TrainingSchedule Compare { get; } = new(300, 16, 3e-3, 20);

    /// <summary>The same with another number of steps, of which the warm-up takes a tenth at most.</summary>
    /// <param name="steps">The steps; null: as many as here.</param>
    public TrainingSchedule Of(int? steps) =>
        steps is int other ? this with { Steps = other, WarmupSteps = Math.Min(WarmupSteps, other / 10) } : this;

    /// <summary>The learning rate of a step, counted from 0.</summary>
    public double LearningRate(int step) =>
        new LearningRateSchedule(
            PeakLearningRate, Steps, Math.Min(WarmupSteps, Steps), FinalFraction * PeakLearningRate).At(step);
}
