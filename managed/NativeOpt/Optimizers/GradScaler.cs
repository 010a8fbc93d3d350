using System.Globalization;

namespace NativeOpt;

/// <summary>
/// Scales the loss so that the gradients of half precision neither vanish nor overflow: a step whose gradients are not
/// finite is skipped and the scale backs off; after some good steps it grows. The rules are those of torch's
/// <c>GradScaler</c> (Micikevicius et al. 2018), with bounds.
/// </summary>
/// <example>
/// <code>
/// Backward(scaler.Scale * loss);
/// scaler.Step(optimizer, stream);
/// scaler.Update(stream);
/// </code>
/// </example>
/// <remarks>
/// <para>
/// The scale stays between <see cref="MinimumScale"/> and 2^126. A scale that keeps falling means that the gradients are not
/// finite whatever it is: the loss or the model is broken, and no scale will mend it. <see cref="Update"/> therefore throws
/// where a step was skipped at <see cref="MinimumScale"/>; with what the constructor has by default that is after 31 skipped
/// steps in a row.
/// </para>
/// <para>It serves one thread at a time.</para>
/// </remarks>
public sealed class GradScaler
{
    // The scale and 1 / scale are finite and normal as floats between these: 2^-126 and 2^126.
    private const double SmallestScale = Check.SmallestNormal;
    private const double LargestScale = 1 / SmallestScale;

    // Steps about which a device decides, so that it is known only later whether they were skipped.
    private readonly List<(Optimizer Optimizer, long SkippedBefore)> _undecided = [];

    // Since the last update: whether there was a step, one about which it was decided, one that was skipped.
    private bool _hasStepped;
    private bool _hasDecided;
    private bool _hasSkipped;
    private double _scale;
    private int _growthTracker;

    /// <summary>Creates a scaler.</summary>
    /// <param name="initialScale">The scale at first, <paramref name="minimumScale"/> to 2^126.</param>
    /// <param name="growthFactor">What a growing scale is multiplied with, above 1 and finite.</param>
    /// <param name="backoffFactor">What a scale that backs off is multiplied with, between 0 and 1.</param>
    /// <param name="growthInterval">The number of good steps in a row after which the scale grows, above 0.</param>
    /// <param name="minimumScale">
    /// The smallest scale, 2^-126 to 2^126. By default 2^-14: a finite gradient that overflows as float16 at that scale is above
    /// 10^9. At much smaller scales the gradients of half precision vanish instead.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range.</exception>
    public GradScaler(
        double initialScale = 65536,
        double growthFactor = 2,
        double backoffFactor = 0.5,
        int growthInterval = 2000,
        double minimumScale = 1.0 / 16384)
    {
        RequireScale(minimumScale, SmallestScale, nameof(minimumScale), nameof(minimumScale));
        RequireScale(initialScale, minimumScale, nameof(initialScale), nameof(initialScale));
        if (!(growthFactor > 1 && double.IsFinite(growthFactor)))
        {
            throw new ArgumentOutOfRangeException(
                nameof(growthFactor), growthFactor, "The growth factor must be above 1 and finite.");
        }

        if (!(backoffFactor is > 0 and < 1))
        {
            throw new ArgumentOutOfRangeException(
                nameof(backoffFactor), backoffFactor, "The backoff factor must be between 0 and 1.");
        }

        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(growthInterval);
        _scale = initialScale;
        MinimumScale = minimumScale;
        GrowthFactor = growthFactor;
        BackoffFactor = backoffFactor;
        GrowthInterval = growthInterval;
    }

    /// <summary>What to multiply the loss with; to be set only to resume.</summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// The value is not between <see cref="MinimumScale"/> and 2^126.
    /// </exception>
    public double Scale
    {
        get => _scale;
        set
        {
            RequireScale(value, MinimumScale, nameof(Scale), nameof(value));
            _scale = value;
        }
    }

    /// <summary>Good steps since the scale last changed; to be set only to resume.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative.</exception>
    public int GrowthTracker
    {
        get => _growthTracker;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _growthTracker = value;
        }
    }

    /// <summary>The smallest scale; a step that is skipped there has <see cref="Update"/> throw.</summary>
    public double MinimumScale { get; }

    /// <summary>What a growing scale is multiplied with.</summary>
    public double GrowthFactor { get; }

    /// <summary>What a scale that backs off is multiplied with.</summary>
    public double BackoffFactor { get; }

    /// <summary>The number of good steps in a row after which the scale grows.</summary>
    public int GrowthInterval { get; }

    /// <summary>
    /// A step on gradients of the scaled loss: it divides them by <see cref="Scale"/> and skips the step if any is not finite.
    /// It sets both in the optimizer's <see cref="Optimizer.GradientOptions"/>, where they stay; the other options remain.
    /// </summary>
    /// <remarks>
    /// A later <see cref="Optimizer.Step()"/> without the scaler divides by the scale of the scaler's last step, too. Set
    /// <see cref="Optimizer.GradientOptions"/> to null, or to what your own options are, before a step on gradients of a loss
    /// that is not scaled. A step that throws does not count for <see cref="Update"/>.
    /// </remarks>
    /// <param name="optimizer">The optimizer; on CUDA it is made capturable, since the device decides.</param>
    /// <param name="stream">The stream of the step.</param>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> is null.</exception>
    /// <inheritdoc cref="Optimizer.Step(DeviceStream)" path="/exception"/>
    public void Step(Optimizer optimizer, DeviceStream stream = default)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        long before = Prepare(optimizer, stream);
        optimizer.Step(stream);
        Record(optimizer, before);
    }

    /// <summary>
    /// A dimer's step on gradients of the scaled loss, at the parameters and at displaced ones: the closure multiplies the
    /// loss with <see cref="Scale"/> each time. Curvature, rotation and correction are those of the loss itself.
    /// </summary>
    /// <param name="dimer">The dimer; on CUDA its optimizer is made capturable, since the device decides.</param>
    /// <param name="closure">
    /// As <see cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)"/> has it. What it returns is the
    /// loss itself; where that is not finite, <see cref="Update"/> takes the step as one that was skipped.
    /// </param>
    /// <param name="stream">The stream of the step.</param>
    /// <param name="cancellationToken">Ends the step between two evaluations, as if it had not begun.</param>
    /// <returns>The loss, or one that is not finite.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <inheritdoc cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)" path="/exception"/>
    public float Step(
        DimerOptimizer dimer,
        Func<float> closure,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(dimer);
        ArgumentNullException.ThrowIfNull(closure);
        long before = Prepare(dimer.Optimizer, stream);
        float loss = dimer.Step(closure, stream, cancellationToken);
        Record(dimer.Optimizer, before);
        _hasSkipped |= !float.IsFinite(loss);
        return loss;
    }

    /// <summary>
    /// <see cref="DimerOptimizer.Displace(DeviceStream)"/> for a host that owns its loop, where gradients are those of the
    /// scaled loss. The scale stays until the step.
    /// </summary>
    /// <param name="dimer">The dimer; on CUDA its optimizer is made capturable, since the device decides.</param>
    /// <param name="stream">The stream of the step.</param>
    /// <exception cref="ArgumentNullException"><paramref name="dimer"/> is null.</exception>
    /// <inheritdoc cref="DimerOptimizer.Displace(DeviceStream)" path="/exception"/>
    public void Displace(DimerOptimizer dimer, DeviceStream stream = default)
    {
        ArgumentNullException.ThrowIfNull(dimer);
        Prepare(dimer.Optimizer, stream);
        dimer.Displace(stream);
    }

    /// <summary>
    /// <see cref="DimerOptimizer.Step(DeviceStream)"/> for a host that owns its loop, where gradients are those of the scaled
    /// loss.
    /// </summary>
    /// <param name="dimer">The dimer; on CUDA its optimizer is made capturable, since the device decides.</param>
    /// <param name="stream">The stream of the step.</param>
    /// <exception cref="ArgumentNullException"><paramref name="dimer"/> is null.</exception>
    /// <inheritdoc cref="DimerOptimizer.Step(DeviceStream)" path="/exception"/>
    public void Step(DimerOptimizer dimer, DeviceStream stream = default)
    {
        ArgumentNullException.ThrowIfNull(dimer);
        long before = Prepare(dimer.Optimizer, stream);
        dimer.Step(stream);
        Record(dimer.Optimizer, before);
    }

    /// <summary>
    /// Lets the scale back off if a step since the last update was skipped, and grow after enough good ones. Waits for the
    /// stream: what the device decided is needed here.
    /// </summary>
    /// <remarks>
    /// On CUDA nobody can tell any more whether a step of an optimizer was skipped that is disposed of since: such a step counts
    /// neither as a good nor as a skipped one.
    /// </remarks>
    /// <param name="stream">The stream of the steps.</param>
    /// <exception cref="InvalidOperationException">No optimizer took a step since the last update.</exception>
    /// <exception cref="NotFiniteNumberException">
    /// A step was skipped although the scale was <see cref="MinimumScale"/>, where it stays: a smaller one would not help. Look
    /// for what makes the loss or the gradients infinite or NaN.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Update(DeviceStream stream = default)
    {
        if (!_hasStepped)
        {
            throw new InvalidOperationException("No optimizer took a step since the last update; call Step first.");
        }

        bool hasSkipped = _hasSkipped;
        bool isKnown = _hasDecided;
        (Optimizer Optimizer, long SkippedBefore)[] undecided = [.. _undecided];
        _undecided.Clear(); // Before what may fail, so that the next update is about later steps.
        _hasStepped = false;
        _hasDecided = false;
        _hasSkipped = false;
        foreach ((Optimizer optimizer, long before) in undecided)
        {
            if (!optimizer.IsDisposed)
            {
                stream.Synchronize(optimizer.ParameterSet.Device);
                hasSkipped |= optimizer.GetGradientStatus().SkippedSteps > before;
                isKnown = true;
            }
        }

        if (hasSkipped)
        {
            BackOff();
        }
        else if (isKnown)
        {
            Grow();
        }
    }

    private static void RequireScale(double value, double smallest, string name, string paramName)
    {
        if (!(value >= smallest && value <= LargestScale))
        {
            throw new ArgumentOutOfRangeException(
                paramName, value,
                string.Create(CultureInfo.InvariantCulture, $"{name} is {value}; it must be {smallest} to {LargestScale}."));
        }
    }

    private void BackOff()
    {
        _growthTracker = 0;
        if (_scale <= MinimumScale)
        {
            throw new NotFiniteNumberException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"A step was skipped although the scale is only {_scale}, the scaler's MinimumScale: the gradients are not finite ")
                + "whatever the scale is, so that the loss or the model is broken. Look for what makes the loss or the gradients "
                + "infinite or NaN. A smaller scale helps only if the gradients themselves are too large for their type: make the "
                + "scaler with a smaller minimumScale then.");
        }

        _scale = Math.Max(_scale * BackoffFactor, MinimumScale);
    }

    private void Grow()
    {
        _growthTracker++;
        if (_growthTracker >= GrowthInterval)
        {
            _scale = Math.Min(_scale * GrowthFactor, LargestScale);
            _growthTracker = 0;
        }
    }

    /// <summary>Sets the options for a step.</summary>
    /// <returns>How many steps the optimizer has skipped before.</returns>
    private long Prepare(Optimizer optimizer, DeviceStream stream)
    {
        if (optimizer.ParameterSet.Device.Backend == Backend.Cuda && !optimizer.IsCapturable)
        {
            optimizer.SetCapturable(true, stream);
        }

        GradientOptions options = optimizer.GradientOptions ?? new GradientOptions();
        if (optimizer.GradientOptions is null || options.LossScale != _scale || !options.SkipNonFinite)
        {
            optimizer.GradientOptions = options with { LossScale = _scale, SkipNonFinite = true };
        }

        return optimizer.GetGradientStatus().SkippedSteps;
    }

    /// <summary>After a step: notes whether it was skipped, or where to ask once the device has decided.</summary>
    private void Record(Optimizer optimizer, long skippedBefore)
    {
        _hasStepped = true;
        if (optimizer.ParameterSet.Device.Backend != Backend.Cuda)
        {
            _hasDecided = true;
            _hasSkipped |= optimizer.GetGradientStatus().SkippedSteps > skippedBefore;
        }
        else if (!_undecided.Exists(one => one.Optimizer == optimizer))
        {
            _undecided.Add((optimizer, skippedBefore));
        }
    }
}
