using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary>The JSON document of <c>nativeopt train</c>.</summary>
internal sealed record TrainingSummary(
    TrainingSummary.TextSummary Text,
    TrainingSummary.ModelSummary Model,
    string Dtype,
    string Master,
    bool StochasticRounding,
    string StateDtype,
    bool StochasticRoundingStates,
    long? MinDynamic8Elements,
    string Device,
    int Threads,
    ulong Seed,
    int BatchSize,
    int Steps,
    TrainingSummary.RunSummary[] Results,
    string Folder)
{
    /// <summary>What the document says of some runs.</summary>
    public static TrainingSummary Of(
        string textName, TextDataset data, TrainingPlan plan, long parameters, string folder, IReadOnlyList<TrainingRun> runs) => new(
        new TextSummary(
            textName,
            data.Training.Length + data.Validation.Length,
            data.Tokenizer.VocabularySize,
            data.UnigramEntropy),
        new ModelSummary(
            parameters,
            plan.Model.ContextLength,
            plan.Model.Layers,
            plan.Model.Heads,
            plan.Model.Width),
        CommonOptions.Name(plan.Precision.DType),
        CommonOptions.Name(plan.Precision.MasterWeights),
        plan.Precision.StochasticRounding,
        CommonOptions.Name(plan.Precision.StateType),
        plan.Precision.StochasticRoundingStates,
        plan.Precision.MinDynamic8ElementCount,
        plan.Device.ToString(),
        NativeRuntime.CpuThreads,
        plan.Seed,
        plan.Schedule.BatchSize,
        plan.Schedule.Steps,
        [.. runs.Select(static run => new RunSummary(
            run.Recipe.Name,
            run.LearningRate,
            run.SwitchingRate,
            run.End.ToString().ToLowerInvariant(),
            TrainingView.Explain(run),
            run.Steps,
            run.GradientEvaluations,
            run.Curvature,
            run.Points[0].TrainLoss,
            run.Points[0].ValidationLoss,
            run.TrainLoss,
            run.ValidationLoss,
            run.OptimizerBytes,
            run.OptimizerMilliseconds,
            run.OptimizerShare,
            run.TokensPerSecond,
            run.StepTime.TotalSeconds,
            run.Sample))],
        Path.GetFullPath(folder));

    internal sealed record TextSummary(string Name, int Characters, int Vocabulary, double UnigramEntropy);

    internal sealed record ModelSummary(long Parameters, int Context, int Layers, int Heads, int Width);

    internal sealed record RunSummary(
        string Optimizer,
        double LearningRate,
        double? SwitchingRate,
        string End,
        string? Message,
        int Steps,
        long GradientEvaluations,
        double? Curvature,
        double? FirstTrainLoss,
        double? FirstValidationLoss,
        double? TrainLoss,
        double? ValidationLoss,
        long OptimizerBytes,
        double OptimizerMsPerStep,
        double OptimizerShare,
        double TokensPerSecond,
        double Seconds,
        string Sample);
}
