using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Deo;

/// <summary>What came of a training run.</summary>
/// <param name="End">How it ended.</param>
/// <param name="Losses">The training loss of each step's batch, before the step.</param>
/// <param name="Evaluations">The gradients computed before each step.</param>
/// <param name="GradientEvaluations">The gradients computed in all.</param>
/// <param name="Validations">Validation losses, each after the gradients that it says.</param>
/// <param name="Spikes">The steps at which the training loss began to spike.</param>
/// <param name="Updates">The steps that turned a dimer's direction.</param>
/// <param name="Seconds">What all steps took, on one thread and beside other runs; validations are not in it.</param>
internal sealed record DeoRun(
    TrainingEnd End,
    float[] Losses,
    long[] Evaluations,
    long GradientEvaluations,
    DeoValidation[] Validations,
    int[] Spikes,
    int Updates,
    double Seconds)
{
    // What a final training loss is the mean of: a batch alone is noisy.
    private const int FinalFraction = 20; // of the steps, one in so many
    private const int FewestLosses = 5;

    public int Steps => Losses.Length;

    /// <summary>Spikes for each thousand steps: a run with a dimer has fewer steps for its gradients.</summary>
    public double SpikeRate => Steps == 0 ? 0 : 1000.0 * Spikes.Length / Steps;

    /// <summary>Whether it ended since a loss was not finite.</summary>
    public bool HasDiverged => End == TrainingEnd.Diverged;

    /// <summary>The training loss at the end; NaN of a run that diverged.</summary>
    public double TrainLoss => TrainLossAfter(GradientEvaluations);

    /// <summary>The validation loss at the end; NaN of a run that diverged.</summary>
    public double ValidationLoss => ValidationLossAfter(GradientEvaluations);

    /// <summary>The mean training loss of the last twentieth of the steps, at least 5, that a number of gradients allows.</summary>
    public double TrainLossAfter(double gradients)
    {
        int steps = Evaluations.Count(own => own < gradients);
        return HasDiverged || steps == 0 ? double.NaN
            : Losses[Math.Max(0, steps - Math.Max(FewestLosses, steps / FinalFraction))..steps].Average(static loss => (double)loss);
    }

    /// <summary>The last validation loss that a number of gradients allows.</summary>
    public double ValidationLossAfter(double gradients) =>
        HasDiverged ? double.NaN : Validations.LastOrDefault(own => own.Evaluations <= gradients)?.Loss ?? double.NaN;
}

/// <summary>A validation loss.</summary>
/// <param name="Evaluations">The gradients computed before.</param>
/// <param name="Loss">The loss.</param>
internal sealed record DeoValidation(long Evaluations, double Loss);
