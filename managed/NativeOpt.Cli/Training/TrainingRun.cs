namespace NativeOpt.Cli.Training;

/// <summary>How a run ended.</summary>
internal enum TrainingEnd
{
    /// <summary>After all steps.</summary>
    Completed,

    /// <summary>Early, on request.</summary>
    Cancelled,

    /// <summary>Early, since a loss was not finite.</summary>
    Diverged,
}

/// <summary>What is known of the weights after a number of steps.</summary>
/// <param name="Step">Steps taken before.</param>
/// <param name="LearningRate">The learning rate of the step that follows; null after the last one.</param>
/// <param name="TrainLoss">The loss of the batch that the next step learns from; null after the last one.</param>
/// <param name="ValidationLoss">The loss of the validation batches, where it was measured.</param>
/// <param name="GradientEvaluations">Gradients computed before; more than the steps where a dimer needs them.</param>
/// <param name="Curvature">Of the loss along a dimer's direction, if the step that follows measures it.</param>
internal readonly record struct TrainingPoint(
    int Step,
    double? LearningRate,
    float? TrainLoss,
    double? ValidationLoss,
    long GradientEvaluations,
    double? Curvature = null);

/// <summary>What came of training with one optimizer.</summary>
/// <param name="Recipe">The optimizer.</param>
/// <param name="LearningRate">Its peak learning rate.</param>
/// <param name="SwitchingRate">DualAdam's; null for the others.</param>
/// <param name="Points">One for each step, and one for the end.</param>
/// <param name="End">How it ended.</param>
/// <param name="StepTime">All steps together, without validation.</param>
/// <param name="OptimizerTime">What of that the optimizer took; on a GPU or in bfloat16 with the copies to and fro.</param>
/// <param name="OptimizerBytes">The memory of its states, and of the dimer.</param>
/// <param name="TokensPerStep">Tokens in a batch.</param>
/// <param name="Sample">Text by the trained model.</param>
internal sealed record TrainingRun(
    OptimizerRecipe Recipe,
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
    /// <summary>The model's tensors after the last step.</summary>
    public IReadOnlyList<GptParameter> Parameters { get; init; } = [];

    /// <summary>Steps taken.</summary>
    public int Steps => Points.Count == 0 ? 0 : Points[^1].Step;

    /// <summary>Gradients computed; more than the steps where a dimer needs them.</summary>
    public long GradientEvaluations => Points.Count == 0 ? 0 : Points[^1].GradientEvaluations;

    /// <summary>The last curvature along a dimer's direction.</summary>
    public double? Curvature => Points.LastOrDefault(static point => point.Curvature is not null).Curvature;

    /// <summary>The mean loss of the training batches since the last validation but one; a batch alone is noisy.</summary>
    public double? TrainLoss => SmoothedTrainLosses() is [.., var last] ? last.Y : null;

    /// <summary>The last validation loss.</summary>
    public double? ValidationLoss =>
        Points.LastOrDefault(static point => point.ValidationLoss is not null).ValidationLoss;

    /// <summary>The lowest validation loss.</summary>
    public double? BestValidationLoss => Points.Min(static point => point.ValidationLoss);

    /// <summary>Tokens learned from in a second, validation aside.</summary>
    public double TokensPerSecond => StepTime > TimeSpan.Zero ? (double)Steps * TokensPerStep / StepTime.TotalSeconds : 0;

    /// <summary>The optimizer's part of <see cref="StepTime"/>.</summary>
    public double OptimizerShare => StepTime > TimeSpan.Zero ? OptimizerTime / StepTime : 0;

    /// <summary>Milliseconds of one optimizer step.</summary>
    public double OptimizerMilliseconds => Steps > 0 ? OptimizerTime.TotalMilliseconds / Steps : 0;

    /// <summary>The training loss at step 0, then its mean between each two validations, at the later one, by gradients
    /// computed.</summary>
    public List<(double X, double Y)> SmoothedTrainLosses()
    {
        List<(double X, double Y)> means = [];
        double sum = 0;
        int count = 0;
        foreach (TrainingPoint point in Points)
        {
            if (point.ValidationLoss is not null && count > 0)
            {
                means.Add((point.GradientEvaluations, sum / count));
                (sum, count) = (0, 0);
            }

            if (point.TrainLoss is float loss)
            {
                if (point.Step == 0)
                {
                    means.Add((0, loss));
                }

                sum += loss;
                count++;
            }
        }

        // A run that ended early, without another validation.
        return count == 0 || (count == 1 && means.Count == 1) ? means : [.. means, (GradientEvaluations, sum / count)];
    }

    /// <summary>The validation losses, by gradients computed.</summary>
    public List<(double X, double Y)> ValidationLosses() =>
        [.. Points.Where(static point => point.ValidationLoss is not null)
            .Select(static point => ((double)point.GradientEvaluations, point.ValidationLoss!.Value))];

    /// <summary>The curvatures along a dimer's direction, by gradients computed; none without a dimer.</summary>
    public List<(double X, double Y)> Curvatures() =>
        [.. Points.Where(static point => point.Curvature is not null)
            .Select(static point => ((double)point.GradientEvaluations, point.Curvature!.Value))];
}
