namespace NativeOpt;

/// <summary>What a spike of the loss is, and for how many steps a dimer is active after one begins.</summary>
/// <remarks>
/// A spike begins at a loss that is not finite, or above m + <see cref="Threshold"/>·1.4826·MAD, where m is the median of the last
/// <see cref="Window"/> losses and MAD the median of their distances from m. It lasts until a loss is at or below that bound; its
/// losses do not enter the window, unless it lasts for a whole window. Only its beginning activates.
/// </remarks>
public sealed record SpikeActivation
{
    /// <summary>The losses that the next one is compared with, at least 2; 30 by default. The first ones begin no spike.</summary>
    public int Window { get; init; } = 30;

    /// <summary>
    /// How far above the median a spike begins, in robust standard deviations (1.4826·MAD), above 0; 5 by default, which the noise
    /// of normally distributed losses reaches about once in ten thousand steps.
    /// </summary>
    public double Threshold { get; init; } = 5;

    /// <summary>
    /// The steps that the dimer is active from the beginning of a spike on, at least 1; 20 by default. The first of them updates the
    /// direction, the others go by <see cref="DimerOptions.Interval"/>. Another spike meanwhile begins the count anew.
    /// </summary>
    public int Steps { get; init; } = 20;

    internal void Validate(string paramName)
    {
        const string Of = $"{nameof(DimerOptions.ActivateOnSpike)}.";
        Check.AtLeastTwo(Window, Of + nameof(Window), paramName);
        Check.Positive(Threshold, Of + nameof(Threshold), paramName);
        Check.AtLeastOne(Steps, Of + nameof(Steps), paramName);
    }
}
