using System.Globalization;

namespace NativeOpt;

// When the dimer is active, and how much it corrects.
public sealed unsafe partial class DimerOptimizer
{
    private readonly LossSpikes _spikes = new();

    // Step counts: with ActivateOnSpike, updates are counted from the first, and steps before the second are the dimer's.
    private long _activeSince;
    private long _activeUntil;

    // The curvature that AlphaSchedule goes by; null: to be read.
    private double? _measuredCurvature;

    /// <summary>
    /// Whether the next step is the dimer's: always without <see cref="DimerOptions.ActivateOnSpike"/>, and with it for some steps after
    /// a spike of the loss. If not, the step is the optimizer's own.
    /// </summary>
    public bool IsActive => _options.ActivateOnSpike is null || StepCount < _activeUntil;

    /// <summary>
    /// Tells the loss at the parameters, before the step: with <see cref="DimerOptions.ActivateOnSpike"/> the beginning of a spike
    /// activates the dimer for the steps from this one on. Without that option nothing is done with it.
    /// </summary>
    /// <param name="loss">
    /// The loss of the batch that the next step learns from, in any unit; one that is not finite is a spike. Each step's is told once,
    /// before <see cref="NeedsDisplacedGradient"/> is asked; <see cref="Step(Func{float}, DeviceStream, CancellationToken)"/> does
    /// that itself.
    /// </param>
    /// <exception cref="InvalidOperationException">The parameters are displaced.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer or the set is disposed of.</exception>
    public void ReportLoss(double loss)
    {
        ThrowIfDisposed();
        RequireNotDisplaced();
        if (_options.ActivateOnSpike is { } activation && _spikes.Add(loss, activation.Window, activation.Threshold))
        {
            _activeSince = IsActive ? _activeSince : StepCount;
            _activeUntil = StepCount + activation.Steps;
        }
    }

    /// <summary>What a file says of the spikes seen so far; null if the dimer does not wait for any.</summary>
    internal DimerActivity? Activity => _options.ActivateOnSpike is null
        ? null
        : new DimerActivity([.. _spikes.Losses], _spikes.Length, _activeSince, _activeUntil);

    private bool IsUpdateDue =>
        IsActive && (StepCount - (_options.ActivateOnSpike is null ? 0 : _activeSince)) % _options.Interval == 0;

    /// <summary>Goes on from what a file says; from nothing if it says nothing.</summary>
    private void Resume(DimerActivity? saved)
    {
        _spikes.Restore(saved?.Losses ?? [], saved?.SpikeLength ?? 0);
        _activeSince = saved?.Since ?? 0;
        _activeUntil = saved?.Until ?? 0;
    }

    /// <summary>The optimizer's own step, while the dimer is not active.</summary>
    private void StepInactive(DimerProgress next, DeviceStream stream)
    {
        Optimizer.Step(stream);
        GradientEvaluations++;
        StepCount++;
        _updateWasLost = false;
        _progress = next;
    }

    /// <summary>The weight of the correction in the step that begins.</summary>
    private double AlphaOfStep(DeviceStream stream)
    {
        if (_options.AlphaSchedule is not { } schedule)
        {
            return _options.Alpha;
        }

        if (_measuredCurvature is null)
        {
            stream.Synchronize(Optimizer.ParameterSet.Device);
            _measuredCurvature = ReadStatus(scope: 0).curvature;
        }

        double curvature = _measuredCurvature.Value;
        if (double.IsNaN(curvature))
        {
            return _options.Alpha;
        }

        double alpha = schedule(curvature);
        return Check.IsAtLeastZero(alpha)
            ? alpha
            : throw new InvalidOperationException(string.Create(
                CultureInfo.InvariantCulture,
                $"AlphaSchedule made {alpha} of a curvature of {curvature}; it must be at least 0 and finite as a float. No step was taken."));
    }
}

/// <summary>What a dimer that is activated by spikes has seen of the loss.</summary>
/// <param name="Losses">The losses of the window, oldest first.</param>
/// <param name="SpikeLength">The losses so far of the spike under way.</param>
/// <param name="Since">The step count at which the dimer became active for the last time.</param>
/// <param name="Until">The step count at which it is not any more.</param>
internal sealed record DimerActivity(double[] Losses, int SpikeLength, long Since, long Until);
