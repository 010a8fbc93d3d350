using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// Dimer-enhanced optimization (DEO, arXiv 2507.19968) around any <see cref="NativeOpt.Optimizer"/>: follows a direction N̂
/// toward the smallest curvature of the loss and corrects the gradient along it before the update rule sees it.
/// </summary>
/// <remarks>
/// <para>
/// Every <see cref="DimerOptions.Interval"/> steps the direction turns, for which the gradient is evaluated once more (or
/// several times) at parameters displaced along it. With a closure, <see cref="Step(Func{float}, DeviceStream, CancellationToken)"/>
/// does all of that. A host that owns its loop writes
/// </para>
/// <code>
/// ComputeGradients();
/// while (dimer.NeedsDisplacedGradient)
/// {
///     dimer.Displace();
///     ComputeGradients(); // at the displaced parameters
/// }
///
/// dimer.Step();
/// </code>
/// <para>
/// and, with <see cref="DimerOptions.ActivateOnSpike"/>, <c>dimer.ReportLoss(loss)</c> after the first gradients of each step.
/// </para>
/// <para>
/// The learning rate and the like are the optimizer's, which the dimer neither owns nor disposes of. For a set there is one
/// dimer at a time. It keeps a direction in float32, a backup of the parameters, one of the gradients unless
/// <see cref="SetDisplacedGradients(ReadOnlySpan{nint})"/> is used (both of their element types), and another direction for
/// <see cref="RotationAngle.Optimal"/>.
/// </para>
/// <para>
/// It serves one thread at a time, together with its set. For equal inputs it gives the same bits on every device,
/// instruction set and number of threads.
/// </para>
/// </remarks>
public sealed unsafe partial class DimerOptimizer : IDisposable
{
    // The least displacement that follows from a learning rate; shorter ones have not been measured.
    private const double SmallestDefaultDisplacement = 1e-4;

    private readonly DimerHandle _handle;
    private DimerOptions _options;

    // How far the step in progress is, and what its update was begun with.
    private DimerProgress _progress;
    private nopt_dimer_options _update;
    private bool _updateWasLost; // in the last step

    /// <summary>Makes a dimer around an optimizer. Its direction is drawn at the first step.</summary>
    /// <param name="optimizer">The optimizer; keep it as long as the dimer.</param>
    /// <param name="options">The options; null: the paper's.</param>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="ArgumentException">The optimizer's groups differ in <see cref="OptimizerOptions.Maximize"/>.</exception>
    /// <exception cref="InvalidOperationException">The set has a dimer already.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public DimerOptimizer(Optimizer optimizer, DimerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        optimizer.ThrowIfDisposed();
        RequireOneLoss(optimizer);
        _options = options ?? new DimerOptions();
        _options.Validate(nameof(options));
        Optimizer = optimizer;
        using HandleLease lease = new(optimizer.Handle, optimizer);
        _handle = new DimerHandle(
            optimizer.ParameterSet, optimizer.Handle, lease.Pointer, (nopt_dimer_scope)_options.Scope);
    }

    /// <summary>The optimizer whose rule makes the steps. Its own <c>Step</c> is refused while parameters are displaced.</summary>
    public Optimizer Optimizer { get; }

    /// <summary>
    /// The options; may change between steps, except for the scope. A new seed counts when the direction is drawn.
    /// </summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="ArgumentException">The scope differs.</exception>
    /// <exception cref="InvalidOperationException">The parameters are displaced.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer or the set is disposed of.</exception>
    public DimerOptions Options
    {
        get => _options;
        set
        {
            ThrowIfDisposed();
            ArgumentNullException.ThrowIfNull(value);
            value.Validate(nameof(value));
            if (value.Scope != _options.Scope)
            {
                throw new ArgumentException(
                    $"Scope is {value.Scope}, but the dimer was made for {_options.Scope}; make another one.", nameof(value));
            }

            RequireNotDisplaced();
            _buffersAreReady = false;
            _options = value;
        }
    }

    /// <summary>The number of directions: 1, or one for each tensor.</summary>
    public int ScopeCount => _options.Scope == DimerScope.Global ? 1 : Optimizer.ParameterSet.Count;

    /// <summary>
    /// Steps taken with the dimer; 0 before the first. Also those that <see cref="GradientOptions.SkipNonFinite"/> has
    /// skipped, since the device decides on them and the host goes by this number: an update that was skipped comes again
    /// after <see cref="DimerOptions.Interval"/> steps.
    /// </summary>
    public long StepCount { get; private set; }

    /// <summary>Gradients that the steps taken so far have used, those at displaced parameters included.</summary>
    public long GradientEvaluations { get; private set; }

    /// <summary>
    /// Updates of the direction that were given up since a loss at displaced parameters was not finite, as
    /// <see cref="DimerOptions.Fallback"/> says; files do not have this number. Where it keeps growing, displace less far
    /// (<see cref="DimerOptions.Displacement"/>).
    /// </summary>
    public long LostUpdates { get; private set; }

    /// <summary>The bytes of the buffers that the dimer has allocated so far, beside the optimizer's.</summary>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer or the set is disposed of.</exception>
    public long AllocatedBytes
    {
        get
        {
            ThrowIfDisposed();
            return _handle.Buffers.AllocatedBytes;
        }
    }

    /// <summary>Whether the parameters are displaced at the moment.</summary>
    public bool IsDisplaced => _progress.IsDisplaced && !_handle.IsDisposed;

    /// <summary>
    /// Whether the step in progress needs another gradient at displaced parameters: call <see cref="Displace()"/> and compute
    /// it. Always false after <see cref="Restore()"/>, until the next step is taken.
    /// </summary>
    public bool NeedsDisplacedGradient =>
        _progress.NeedsDisplacement(IsUpdateDue, _options.DisplacedGradients);

    /// <summary>One step; evaluates the closure as often as the step needs gradients, as torch's optimizers do.</summary>
    /// <param name="closure">
    /// Computes the loss and, into the set's gradients, its gradient at the parameters as they are when it is called. It
    /// must not change the parameters. On CUDA its work is queued on <paramref name="stream"/>, or done when it returns.
    /// </param>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <param name="cancellationToken">Ends the step between two evaluations, as if it had not begun.</param>
    /// <returns>
    /// The loss at the parameters before the step. If that is not finite, no step was taken. Nor was one if the loss returned is
    /// that at displaced parameters, which with <see cref="DimerFallback.NoStep"/> it is where that is not finite.
    /// </returns>
    /// <remarks>
    /// <para>
    /// If the closure throws, no step is taken or the token is cancelled, the parameters and the optimizer's state are as they
    /// were before the call, bit for bit; the direction may have turned if the update has several rotations.
    /// </para>
    /// <para>
    /// If a loss at displaced parameters is not finite, the step is the optimizer's own at the parameters before it, unless
    /// <see cref="DimerOptions.Fallback"/> says otherwise. The set's gradients are then those at these parameters again.
    /// </para>
    /// <para>The loss at the parameters is told to <see cref="ReportLoss"/>, also where no step follows.</para>
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="closure"/> is null.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="InvalidOperationException">
    /// The parameters are displaced already, or the set has no gradients even after the first evaluation; or
    /// <see cref="DimerOptions.AlphaSchedule"/> made a number that α cannot be.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer, the set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault, perhaps of earlier work.</exception>
    public float Step(
        Func<float> closure, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(closure);
        ThrowIfDisposed();
        RequireNotDisplaced();
        if (_progress.GaveUp)
        {
            _progress = default;
        }

        cancellationToken.ThrowIfCancellationRequested();
        float loss = closure();
        ReportLoss(loss);
        if (!float.IsFinite(loss))
        {
            return loss;
        }

        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            while (NeedsDisplacedGradient)
            {
                Displace(stream);
                float displacedLoss = closure();
                if (!float.IsFinite(displacedLoss))
                {
                    LostUpdates++;
                    if (_options.Fallback == DimerFallback.StepWithoutUpdate)
                    {
                        StepWithoutUpdate(stream);
                        return loss;
                    }

                    GiveUp(default, stream);
                    return displacedLoss;
                }

                cancellationToken.ThrowIfCancellationRequested();
            }

            Step(stream);
        }
        catch
        {
            if (IsDisplaced)
            {
                GiveUp(default, stream);
            }

            throw;
        }

        return loss;
    }

    /// <summary>Displaces the parameters, on the default stream; see the overload.</summary>
    /// <inheritdoc cref="Displace(DeviceStream)" path="/exception"/>
    public void Displace() => Displace(DeviceStream.Default);

    /// <summary>
    /// Displaces the parameters along the direction, for another gradient. The first time in a step it takes the set's
    /// gradients as those of the parameters; after that it turns the direction with the gradients at the displaced
    /// parameters, and displaces anew.
    /// </summary>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <exception cref="InvalidOperationException">
    /// The step needs no more gradients, or none at all, or the set has none yet; or <see cref="DimerOptions.AlphaSchedule"/> made a
    /// number that α cannot be.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer, the set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault, perhaps of earlier work.</exception>
    public void Displace(DeviceStream stream)
    {
        ThrowIfDisposed();
        Optimizer.RequireGradients();
        DimerProgress next = _progress.After(DimerAction.Displace, IsUpdateDue, _options.DisplacedGradients);
        using HandleLease lease = new(_handle, this);
        nopt_dimer* dimer = (nopt_dimer*)lease.Pointer;
        if (!_progress.IsDisplaced)
        {
            nopt_dimer_options update = _options.ToNative(Displacement(), AlphaOfStep(stream));
            // Master weights begin as copies of the parameters where these are now.
            Optimizer.EnsureState(stream, isForStep: true);
            EnsureBuffers(stream);
            NativeError.ThrowIfFailed(NativeMethods.nopt_dimer_displace(dimer, &update, (void*)stream.Pointer));
            _update = update;
            _handle.DisplacedOn = stream;
            Optimizer.ParameterSet.Handle.IsDisplaced = true;
        }
        else
        {
            nopt_dimer_options update = _update;
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_rotate(dimer, &update, Optimizer.StepHyperparameters, (void*)stream.Pointer));
        }

        stream.KeepAlive();
        _progress = next;
    }

    /// <summary>One step of all tensors, on the default stream; see the overload.</summary>
    /// <inheritdoc cref="Step(DeviceStream)" path="/exception"/>
    public void Step() => Step(DeviceStream.Default);

    /// <summary>
    /// One step of all tensors with the corrected gradient. If parameters are displaced, it first turns the direction with
    /// the set's gradients, and steps from where the parameters were.
    /// </summary>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <exception cref="InvalidOperationException">
    /// <see cref="NeedsDisplacedGradient"/> is true, or the set has no gradients yet; or <see cref="DimerOptions.AlphaSchedule"/> made a
    /// number that α cannot be.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer, the set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault, perhaps of earlier work.</exception>
    public void Step(DeviceStream stream)
    {
        ThrowIfDisposed();
        Optimizer.RequireGradients();
        DimerProgress next = _progress.After(DimerAction.Step, IsUpdateDue, _options.DisplacedGradients);
        if (!IsActive)
        {
            StepInactive(next, stream);
            return;
        }

        Optimizer.EnsureState(stream, isForStep: true);
        EnsureBuffers(stream);

        // Without a displacement its length says nothing, but it must be one.
        TakeStep(
            IsDisplaced ? _update : _options.ToNative(_options.Displacement ?? 1, AlphaOfStep(stream)), next, stream);
    }

    /// <summary>Puts the parameters back, on the default stream; see the overload.</summary>
    /// <inheritdoc cref="Restore(DeviceStream)" path="/exception"/>
    public void Restore() => Restore(DeviceStream.Default);

    /// <summary>
    /// Gives an update up: the parameters are what they were before <see cref="Displace()"/>, bit for bit. The gradients are
    /// left as they are, those of displaced parameters; compute them again and step without an update, or displace again.
    /// </summary>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <exception cref="InvalidOperationException">The parameters are not displaced.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer, the set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault, perhaps of earlier work.</exception>
    public void Restore(DeviceStream stream)
    {
        ThrowIfDisposed();
        DimerProgress next = _progress.After(DimerAction.Restore, IsUpdateDue, _options.DisplacedGradients);
        GiveUp(next, stream);
    }

    /// <summary>
    /// Frees what the dimer allocated; on CUDA it waits for the device's work. Displaced parameters are restored first. The
    /// optimizer can go on without a dimer, or with another one. Further calls do nothing.
    /// </summary>
    public void Dispose()
    {
        // Nothing else is written here: the counts are those of the thread that steps, which may be in the middle of one.
        _handle.Dispose();
        GC.SuppressFinalize(this);
    }

    private double Displacement() =>
        _options.Displacement ?? Math.Max(10 * Optimizer.LearningRate, SmallestDefaultDisplacement);

    private static void RequireOneLoss(Optimizer optimizer)
    {
        bool first = Maximizes(optimizer.Groups[0]);
        foreach (OptimizerGroup group in optimizer.Groups)
        {
            if (Maximizes(group) != first)
            {
                throw new ArgumentException(
                    $"Maximize is {!first} in group {group.Index} of the optimizer and {first} in group 0, but a dimer follows one "
                    + "loss. Make an optimizer and a dimer of its own for such tensors.",
                    nameof(optimizer));
            }
        }

        static bool Maximizes(OptimizerGroup group) => group.HasFlag("maximize");
    }

    private void TakeStep(nopt_dimer_options options, DimerProgress next, DeviceStream stream)
    {
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_dimer_step(
                (nopt_dimer*)lease.Pointer, &options, Optimizer.StepHyperparameters, (void*)stream.Pointer));
        stream.KeepAlive();
        GradientEvaluations += 1 + _progress.Displacements;
        StepCount++;
        _updateWasLost = false;
        EndUpdate(next);
    }

    /// <summary>Gives the update up that is under way, and takes the optimizer's own step at the parameters before it.</summary>
    private void StepWithoutUpdate(DeviceStream stream)
    {
        int displacements = _progress.Displacements;
        GiveUp(_progress.After(DimerAction.Restore, IsUpdateDue, _options.DisplacedGradients), stream);
        RestoreGradients(stream);
        nopt_dimer_options options = _update;
        options.alpha = 0;
        TakeStep(options, default, stream);
        GradientEvaluations += displacements;
        _updateWasLost = true;
    }

    /// <summary>Puts the parameters back, and goes on as the step's progress is then.</summary>
    private void GiveUp(DimerProgress next, DeviceStream stream)
    {
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_dimer_restore((nopt_dimer*)lease.Pointer, (void*)stream.Pointer));
        stream.KeepAlive();
        EndUpdate(next);
    }

    private void EndUpdate(DimerProgress next)
    {
        _measuredCurvature = IsDisplaced ? null : _measuredCurvature;
        _progress = next;
        _handle.DisplacedOn = null;
        Optimizer.ParameterSet.Handle.IsDisplaced = false;
    }

    private void ThrowIfDisposed()
    {
        ObjectDisposedException.ThrowIf(_handle.IsDisposed, this);
        Optimizer.ThrowIfDisposed();
    }

    private void RequireNotDisplaced()
    {
        if (IsDisplaced)
        {
            throw new InvalidOperationException("The parameters are displaced; call Step or Restore first.");
        }
    }
}
