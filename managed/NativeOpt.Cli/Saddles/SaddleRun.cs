namespace NativeOpt.Cli.Saddles;

/// <summary>How a run ended, the best first.</summary>
internal enum SaddleOutcome
{
    /// <summary>It left the saddle point.</summary>
    Left,

    /// <summary>It did not, with all the gradients it had.</summary>
    NotWithin,

    /// <summary>Its loss grew beyond all bounds.</summary>
    Diverged,
}

/// <summary>One optimizer from one start at one learning rate.</summary>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="Outcome">How it ended.</param>
/// <param name="GradientEvaluations">
/// All gradients of the steps taken, those at displaced parameters included.
/// </param>
/// <param name="Steps">The steps taken.</param>
/// <param name="Losses">The loss before each step and after the last, over gradient evaluations; if they were kept.</param>
internal sealed record SaddleRun(
    double LearningRate,
    SaddleOutcome Outcome,
    long GradientEvaluations,
    long Steps,
    IReadOnlyList<(double Evaluations, double Loss)> Losses)
{
    /// <summary>The gradients it took to leave; infinite if it did not.</summary>
    public double Cost => Outcome == SaddleOutcome.Left ? GradientEvaluations : double.PositiveInfinity;
}
