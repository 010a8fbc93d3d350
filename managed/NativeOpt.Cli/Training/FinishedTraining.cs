namespace NativeOpt.Cli.Training;

/// <summary>A <see cref="TrainingRun"/> as it is kept for <c>--resume</c>; the model has a file of its own.</summary>
internal sealed record FinishedTraining(
    double LearningRate,
    double? SwitchingRate,
    IReadOnlyList<TrainingPoint> Points,
    TrainingEnd End,
    TimeSpan StepTime,
    TimeSpan OptimizerTime,
    long OptimizerBytes,
    int TokensPerStep,
    string Sample)
{
    /// <summary>What is kept of a run.</summary>
    public static FinishedTraining Of(TrainingRun run) => new(
        run.LearningRate, run.SwitchingRate, run.Points, run.End, run.StepTime, run.OptimizerTime, run.OptimizerBytes,
        run.TokensPerStep, run.Sample);

    /// <summary>The run, without its model.</summary>
    public TrainingRun ToRun(OptimizerRecipe recipe) => new(
        recipe, LearningRate, SwitchingRate, Points, End, StepTime, OptimizerTime, OptimizerBytes, TokensPerStep, Sample);
}
