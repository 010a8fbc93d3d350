namespace NativeOpt.Cli.Classification;

/// <summary>How the learning rate falls during a run.</summary>
internal enum RateSchedule
{
    /// <summary>Along half a cosine to a thousandth, as in the code that DualAdam's authors published.</summary>
    Cosine,

    /// <summary>To a tenth after half of the steps, and to a hundredth after three quarters.</summary>
    Step,

    /// <summary>Not at all.</summary>
    Constant,
}

/// <summary>The learning rates of a <see cref="RateSchedule"/>.</summary>
internal static class RateSchedules
{
    private const double FinalFraction = 1e-3;

    /// <summary>The learning rate of a step.</summary>
    /// <param name="schedule">How it falls.</param>
    /// <param name="peak">The learning rate of the first step.</param>
    /// <param name="step">The step, from 0.</param>
    /// <param name="steps">The steps of the run.</param>
    public static double At(this RateSchedule schedule, double peak, long step, long steps) => schedule switch
    {
        RateSchedule.Cosine => new LearningRateSchedule(peak, steps, final: FinalFraction * peak).At(step),
        RateSchedule.Step => peak * (4 * step >= 3 * steps ? 0.01 : 2 * step >= steps ? 0.1 : 1),
        _ => peak,
    };
}
