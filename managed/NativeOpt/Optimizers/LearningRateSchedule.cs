namespace NativeOpt;

/// <summary>
/// A learning rate that rises linearly to its peak and then falls along half a cosine (Loshchilov &amp; Hutter 2017), for hosts
/// whose framework has no schedule of its own: <c>optimizer.LearningRate = schedule.At(step)</c> before each step.
/// </summary>
public sealed record LearningRateSchedule
{
    /// <summary>Creates a schedule.</summary>
    /// <param name="peak">The learning rate after the warm-up, finite and >= 0.</param>
    /// <param name="steps">The steps in all, above 0.</param>
    /// <param name="warmupSteps">The steps of the rise, 0 to <paramref name="steps"/>.</param>
    /// <param name="final">
    /// The learning rate from the end on, that is for the step <paramref name="steps"/> and all later ones, 0 to
    /// <paramref name="peak"/>.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range.</exception>
    public LearningRateSchedule(double peak, long steps, long warmupSteps = 0, double final = 0)
    {
        Check.AtLeastZero(peak, nameof(peak), nameof(peak));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        ArgumentOutOfRangeException.ThrowIfNegative(warmupSteps);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(warmupSteps, steps);
        if (!(final >= 0 && final <= peak))
        {
            throw new ArgumentOutOfRangeException(nameof(final), final, "The final learning rate must be from 0 to the peak.");
        }

        Peak = peak;
        Steps = steps;
        WarmupSteps = warmupSteps;
        Final = final;
    }

    /// <summary>The learning rate after the warm-up.</summary>
    public double Peak { get; }

    /// <summary>The steps in all.</summary>
    public long Steps { get; }

    /// <summary>The steps of the rise.</summary>
    public long WarmupSteps { get; }

    /// <summary>The learning rate of the step <see cref="Steps"/> and of all later ones.</summary>
    public double Final { get; }

    /// <summary>The learning rate of a step.</summary>
    /// <param name="step">The step, counted from 0.</param>
    /// <returns>
    /// peak·(step + 1)/warm-up steps during the rise; then final + (peak − final)·(1 + cos(π·progress))/2, where progress goes
    /// from 0 after the rise to 1 at the end; from the end on final, also where the rise takes all of the steps.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="step"/> is negative.</exception>
    public double At(long step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        if (step >= Steps)
        {
            return Final;
        }

        if (step < WarmupSteps)
        {
            return Peak * (step + 1) / WarmupSteps;
        }

        double progress = (double)(step - WarmupSteps) / (Steps - WarmupSteps);
        return Final + ((Peak - Final) * 0.5 * (1 + Math.Cos(Math.PI * progress)));
    }
}
