using System.Buffers;
using System.Globalization;
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
public sealed unsafe class DimerOptimizer : IDisposable
{
    private readonly DimerHandle _handle;
    private DimerOptions _options;
    private bool _buffersAreReady;
    private bool _hasDirection;

    // Of the step in progress.
    private int _displacements;
    private bool _gaveUp;
    private nopt_dimer_options _update;

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
    public bool IsDisplaced => _displacements > 0 && !_handle.IsDisposed;

    /// <summary>
    /// Whether the step in progress needs another gradient at displaced parameters: call <see cref="Displace()"/> and compute
    /// it. Always false after <see cref="Restore()"/>, until the next step is taken.
    /// </summary>
    public bool NeedsDisplacedGradient =>
        !_gaveUp && StepCount % _options.Interval == 0 && _displacements < _options.DisplacedGradients;

    /// <summary>One step; evaluates the closure as often as the step needs gradients, as torch's optimizers do.</summary>
    /// <param name="closure">
    /// Computes the loss and, into the set's gradients, its gradient at the parameters as they are when it is called. It
    /// must not change the parameters. On CUDA its work is queued on <paramref name="stream"/>, or done when it returns.
    /// </param>
    /// <param name="stream">The stream; on CPU the default one.</param>
    /// <param name="cancellationToken">Ends the step between two evaluations, as if it had not begun.</param>
    /// <returns>
    /// The loss at the parameters before the step. Or, if a loss is not finite, that one: no step was taken then.
    /// </returns>
    /// <remarks>
    /// If the closure throws, a loss is not finite or the token is cancelled, the parameters and the optimizer's state are
    /// as they were before the call, bit for bit; the direction may have turned if the update has several rotations.
    /// </remarks>
    /// <exception cref="ArgumentNullException"><paramref name="closure"/> is null.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="InvalidOperationException">
    /// The parameters are displaced already, the set has no gradients even after the first evaluation, or the displacement
    /// is to follow from a learning rate of 0.
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
        _gaveUp = false;
        cancellationToken.ThrowIfCancellationRequested();
        float loss = closure();
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
                    GiveUp(stream);
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
                GiveUp(stream);
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
    /// The step needs no more gradients, or none at all, the set has none yet, or the displacement is to follow from a
    /// learning rate of 0.
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
        if (_displacements >= _options.DisplacedGradients)
        {
            throw new InvalidOperationException("The step needs no more displaced gradients; call Step.");
        }

        if (StepCount % _options.Interval != 0)
        {
            throw new InvalidOperationException(
                "No update of the direction is due in this step (NeedsDisplacedGradient): call Step. Or change Interval.");
        }

        using HandleLease lease = new(_handle, this);
        nopt_dimer* dimer = (nopt_dimer*)lease.Pointer;
        if (_displacements == 0)
        {
            nopt_dimer_options update = _options.ToNative(Displacement());
            // Master weights begin as copies of the parameters where these are now.
            Optimizer.EnsureState(stream);
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
        _displacements++;
        _gaveUp = false;
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
    /// <see cref="NeedsDisplacedGradient"/> is true, or the set has no gradients yet.
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
        if (NeedsDisplacedGradient)
        {
            throw new InvalidOperationException(
                "The step needs a gradient at displaced parameters (NeedsDisplacedGradient): call Displace, compute the "
                + "gradients again, then Step. Or use the Step that takes a closure.");
        }

        Optimizer.EnsureState(stream);
        EnsureBuffers(stream);

        // Without a displacement its length says nothing, but it must be one.
        nopt_dimer_options options = IsDisplaced ? _update : _options.ToNative(_options.Displacement ?? 1);
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_dimer_step(
                (nopt_dimer*)lease.Pointer, &options, Optimizer.StepHyperparameters, (void*)stream.Pointer));
        stream.KeepAlive();
        GradientEvaluations += 1 + _displacements;
        StepCount++;
        EndUpdate();
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
        if (!IsDisplaced)
        {
            throw new InvalidOperationException("The parameters are not displaced.");
        }

        GiveUp(stream);
        _gaveUp = true;
    }

    /// <summary>
    /// Says that the host computes gradients at displaced parameters into other buffers than those at the parameters, after
    /// checking that they fit: then gradients are not copied, and the dimer keeps no room for them.
    /// </summary>
    /// <param name="gradients">The displaced gradient of each parameter, in the same order.</param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more than parameters, a length, element type, device or alignment does not fit, a pointer is null,
    /// or a gradient overlaps a buffer that a step writes.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="InvalidOperationException">Parameters are displaced, with gradients copied.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer or the set is disposed of.</exception>
    public void SetDisplacedGradients(ReadOnlySpan<TensorRef> gradients)
    {
        nint[] pointers = Optimizer.ParameterSet.GradientLayout.RentPointers(gradients, nameof(gradients));
        try
        {
            SetDisplacedGradients(pointers.AsSpan(0, gradients.Length));
        }
        finally
        {
            ArrayPool<nint>.Shared.Return(pointers);
        }
    }

    /// <summary>The same by address; may be called again in each step, as gradients move.</summary>
    /// <param name="gradients">
    /// The address of each parameter's displaced gradient on the set's device: as many elements as the parameter has, of the
    /// type of its gradient.
    /// </param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more than parameters, a pointer is null or misaligned, or a gradient overlaps a buffer that a step
    /// writes.
    /// </exception>
    /// <exception cref="InvalidOperationException">Parameters are displaced, with gradients copied.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer or the set is disposed of.</exception>
    public void SetDisplacedGradients(ReadOnlySpan<nint> gradients)
    {
        ThrowIfDisposed();
        Optimizer.ParameterSet.RequireCount(gradients.Length, nameof(gradients));
        if (_handle.Buffers.IsBound(nopt_role.NOPT_ROLE_GRAD_BACKUP))
        {
            RequireNotDisplaced();
        }

        _handle.Buffers.Bind(nopt_role.NOPT_ROLE_GRAD_DISPLACED, gradients, owned: null);
        _handle.Buffers.Release(nopt_role.NOPT_ROLE_GRAD_BACKUP);
    }

    /// <summary>What is known of a scope, without waiting: on CUDA as of the newest call that has finished.</summary>
    /// <param name="scope">0, or with <see cref="DimerScope.PerTensor"/> the tensor's index.</param>
    /// <returns>The status. After the stream was synchronized it is that of the last call.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such scope.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The dimer or its optimizer is disposed of.</exception>
    public DimerStatus GetStatus(int scope = 0)
    {
        ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfNegative(scope);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(scope, ScopeCount);
        nopt_dimer_status status = new() { struct_size = (uint)sizeof(nopt_dimer_status) };
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_dimer_get_status((nopt_dimer*)lease.Pointer, scope, &status));
        return new DimerStatus(
            status.step,
            status.curvature,
            status.grad_dot_direction,
            status.angle,
            (status.flags & (uint)nopt_dimer_status_flag.NOPT_DIMER_STATUS_ROTATION_REFUSED) != 0,
            (status.flags & (uint)nopt_dimer_status_flag.NOPT_DIMER_STATUS_CORRECTION_SKIPPED) != 0);
    }

    /// <summary>A tensor's part of the direction; drawn if it was not yet.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The buffer; it is valid until the dimer is disposed of.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer or the set is disposed of.</exception>
    public TensorRef GetDirection(int tensor)
    {
        ThrowIfDisposed();
        ParameterSet set = Optimizer.ParameterSet;
        set.RequireIndex(tensor);
        EnsureBuffers(DeviceStream.Default);
        return set.Float32Layout.At(tensor, _handle.Buffers.Pointers(nopt_role.NOPT_ROLE_DIRECTION)[tensor]);
    }

    /// <summary>
    /// Sets the direction, in place of a random one. It is normalized, scope by scope; its curvature is NaN until an update.
    /// </summary>
    /// <param name="direction">An array for each parameter, in the same order, of its length.</param>
    /// <param name="stream">The stream of the last and the next step; the default one if left out.</param>
    /// <exception cref="ArgumentNullException"><paramref name="direction"/> is null.</exception>
    /// <exception cref="ArgumentException">
    /// The arrays are fewer or more than the parameters, one is null or of another length, a number is not finite, or a
    /// scope's are all 0.
    /// </exception>
    /// <exception cref="InvalidOperationException">The parameters are displaced.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The dimer, its optimizer, the set or the stream is disposed of.</exception>
    public void SetDirection(IReadOnlyList<float[]> direction, DeviceStream stream = default)
    {
        ArgumentNullException.ThrowIfNull(direction);
        ThrowIfDisposed();
        RequireNotDisplaced();
        ParameterSet set = Optimizer.ParameterSet;
        set.RequireCount(direction.Count, nameof(direction));
        double norm = 0;
        for (int i = 0; i < direction.Count; i++)
        {
            if (direction[i] is null || direction[i].Length != set.ElementCounts[i])
            {
                throw new ArgumentException(
                    $"direction[{i}] {(direction[i] is null ? "is null" : $"has {direction[i].Length} elements")}; the "
                    + $"parameter has {set.ElementCounts[i]}.",
                    nameof(direction));
            }

            double own = direction[i].Sum(static x => (double)x * x);
            norm += own;
            bool isScope = _options.Scope == DimerScope.PerTensor && direction[i].Length > 0;
            if (!double.IsFinite(own) || (isScope && own == 0))
            {
                throw new ArgumentException(
                    string.Create(CultureInfo.InvariantCulture, $"The norm of direction[{i}] is {Math.Sqrt(own)}; a direction must be finite and not 0."),
                    nameof(direction));
            }
        }

        if (norm == 0 && set.TotalElementCount > 0)
        {
            throw new ArgumentException("The direction is 0.", nameof(direction));
        }

        bool hadDirection = _hasDirection;
        _hasDirection = true; // none is drawn
        try
        {
            EnsureBuffers(stream);
            for (int i = 0; i < direction.Count; i++)
            {
                fixed (float* host = direction[i])
                {
                    DeviceMemory.CopyAndWait(
                        set.Device, (void*)_handle.Buffers.Pointers(nopt_role.NOPT_ROLE_DIRECTION)[i], host,
                        set.ElementCounts[i] * sizeof(float), stream);
                }
            }

            using HandleLease lease = new(_handle, this);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_normalize_direction((nopt_dimer*)lease.Pointer, (void*)stream.Pointer));
            stream.KeepAlive();
            ForgetCurvature(stream);
        }
        catch
        {
            _hasDirection = hadDirection;
            throw;
        }
    }

    /// <summary>
    /// Saves the optimizer's and the dimer's state to one file; see <see cref="Optimizer.Save(string, bool, DeviceStream, CancellationToken)"/>.
    /// </summary>
    /// <param name="path">The file, conventionally *.safetensors; it is replaced if it exists.</param>
    /// <param name="includeParameters">Whether to save the parameters too.</param>
    /// <param name="stream">The stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with the file as it was.</param>
    /// <remarks>
    /// Beside what the optimizer saves: "NAME.direction" for each tensor; in the metadata dimer_scope, dimer_seed,
    /// dimer_step, dimer_gradient_evaluations and dimer_curvature, one number for each scope. Options are not in it.
    /// </remarks>
    /// <inheritdoc cref="Optimizer.Save(string, bool, DeviceStream, CancellationToken)" path="/exception"/>
    public void Save(
        string path,
        bool includeParameters = false,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        ThrowIfDisposed();
        RequireNotDisplaced();
        AtomicFile.Write(path, file => Save(file, includeParameters, stream, cancellationToken));
    }

    /// <summary>Saves to a stream, from its position on; see the overload with a path.</summary>
    /// <param name="destination">The stream; it stays open. After an exception it may hold a part.</param>
    /// <param name="includeParameters">Whether to save the parameters too.</param>
    /// <param name="stream">The device's stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <inheritdoc cref="Optimizer.Save(Stream, bool, DeviceStream, CancellationToken)" path="/exception"/>
    public void Save(
        Stream destination,
        bool includeParameters = false,
        DeviceStream stream = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        ThrowIfDisposed();
        RequireNotDisplaced();
        EnsureBuffers(stream);
        using HandleLease lease = new(_handle, this);
        OptimizerState.Save(Optimizer, this, destination, includeParameters, stream, cancellationToken);
    }

    /// <summary>
    /// Loads what <c>Save</c> wrote. The same steps then follow, bit for bit. The whole file is read and checked first; if
    /// it does not fit, nothing changes.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <inheritdoc cref="Optimizer.Load(string, DeviceStream, CancellationToken)" path="/exception"/>
    public void Load(string path, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        StateTransfer.LoadFile(path, file => Load(file, stream, cancellationToken));
    }

    /// <summary>Loads from a stream, from its position to its end; see the overload with a path.</summary>
    /// <param name="source">The stream; it stays open, and need not seek.</param>
    /// <param name="stream">The device's stream of the last and the next step; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with nothing changed.</param>
    /// <inheritdoc cref="Optimizer.Load(Stream, DeviceStream, CancellationToken)" path="/exception"/>
    public void Load(Stream source, DeviceStream stream = default, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        ThrowIfDisposed();
        RequireNotDisplaced();
        bool hadDirection = _hasDirection;
        try
        {
            EnsureBuffers(stream);
            using HandleLease lease = new(_handle, this);
            OptimizerState.Load(Optimizer, this, source, stream, cancellationToken);
        }
        catch
        {
            // One that was drawn for a file that is refused is drawn again, perhaps from another seed.
            _hasDirection = hadDirection;
            throw;
        }
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

    internal string CurvatureText =>
        string.Join(
            ' ',
            Enumerable.Range(0, ScopeCount).Select(
                scope => GetStatus(scope).Curvature.ToString("R", CultureInfo.InvariantCulture)));

    /// <summary>Takes over what a file says; everything is checked already.</summary>
    internal void Resume(ReadOnlySpan<double> curvature, ulong seed, long step, long gradientEvaluations, DeviceStream stream)
    {
        using HandleLease lease = new(_handle, this);
        fixed (double* values = curvature)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_set_curvature(
                    (nopt_dimer*)lease.Pointer, curvature.Length, values, (void*)stream.Pointer));
        }

        stream.KeepAlive();
        _options = _options with { Seed = seed };
        StepCount = step;
        GradientEvaluations = gradientEvaluations;
        _gaveUp = false;
    }

    private double Displacement()
    {
        double displacement = _options.Displacement ?? (10 * Optimizer.LearningRate);
        return displacement >= Check.SmallestNormal && displacement <= float.MaxValue
            ? displacement
            : throw new InvalidOperationException(
                $"The displacement is 10 times the learning rate, {displacement}, but it must be above 0, and finite and normal "
                + "as a float; set DimerOptions.Displacement.");
    }

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

        static bool Maximizes(OptimizerGroup group) =>
            (group.Hyperparameters.flags & (uint)nopt_flag.NOPT_FLAG_MAXIMIZE) != 0;
    }

    /// <summary>As long as none was measured along a new direction.</summary>
    private void ForgetCurvature(DeviceStream stream)
    {
        double[] none = new double[ScopeCount];
        Array.Fill(none, double.NaN);
        using HandleLease lease = new(_handle, this);
        fixed (double* values = none)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_set_curvature(
                    (nopt_dimer*)lease.Pointer, none.Length, values, (void*)stream.Pointer));
        }
    }

    private void GiveUp(DeviceStream stream)
    {
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_dimer_restore((nopt_dimer*)lease.Pointer, (void*)stream.Pointer));
        stream.KeepAlive();
        EndUpdate();
    }

    private void EndUpdate()
    {
        _displacements = 0;
        _gaveUp = false;
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

    private void EnsureBuffers(DeviceStream stream)
    {
        if (!_buffersAreReady || !_hasDirection)
        {
            PrepareBuffers(stream);
        }
    }

    private void PrepareBuffers(DeviceStream stream)
    {
        BoundBuffers buffers = _handle.Buffers;
        ParameterSet set = Optimizer.ParameterSet;
        using HandleLease lease = new(_handle, this);
        bool copiesGradients = !buffers.IsBound(nopt_role.NOPT_ROLE_GRAD_DISPLACED);
        foreach ((nopt_role role, BufferLayout layout) in _options.Layouts(set.ParameterLayout, set.GradientLayout))
        {
            if (!buffers.IsBound(role) && (copiesGradients || role != nopt_role.NOPT_ROLE_GRAD_BACKUP))
            {
                buffers.Allocate(role, layout);
            }
        }

        _buffersAreReady = true;
        if (!_hasDirection)
        {
            nopt_dimer* dimer = (nopt_dimer*)lease.Pointer;
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_init_direction(dimer, _options.Seed, 0, (void*)stream.Pointer));
            NativeError.ThrowIfFailed(NativeMethods.nopt_dimer_normalize_direction(dimer, (void*)stream.Pointer));
            stream.KeepAlive();
            _hasDirection = true;
        }
    }
}
