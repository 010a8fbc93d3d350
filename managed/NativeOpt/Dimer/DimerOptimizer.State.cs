using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

// Saving and loading.
public sealed unsafe partial class DimerOptimizer
{
    /// <summary>
    /// Saves the optimizer's and the dimer's state to one file; see <see cref="Optimizer.Save(string, bool, DeviceStream, CancellationToken)"/>.
    /// </summary>
    /// <param name="path">The file, conventionally *.safetensors; it is replaced if it exists.</param>
    /// <param name="includeParameters">Whether to save the parameters too.</param>
    /// <param name="stream">The stream of the last step, to wait for; the default one if left out.</param>
    /// <param name="cancellationToken">Ends it early, with the file as it was.</param>
    /// <remarks>
    /// Beside what the optimizer saves: "NAME.direction" for each tensor; in the metadata dimer_scope, dimer_seed,
    /// dimer_step, dimer_gradient_evaluations and dimer_curvature, one number for each scope. With
    /// <see cref="RotationAngle.Conjugate"/> "NAME.rotation_direction", too, and dimer_conjugation. With
    /// <see cref="DimerOptions.ActivateOnSpike"/> dimer_losses, the losses of the window, dimer_spike_length, dimer_active_since and
    /// dimer_active_until. Options are not in it; a dimer with other ones passes over what is of these, and begins its search, or its
    /// window, anew where the file has none.
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

    /// <summary>Whether a search direction is kept from update to update.</summary>
    internal bool KeepsSearch => _options.Angle == RotationAngle.Conjugate;

    internal string CurvatureText => OfEachScope(static status => status.curvature);

    internal string ConjugationText => OfEachScope(static status => status.conjugation);

    /// <summary>Takes over what a file says; everything is checked already.</summary>
    internal void Resume(DimerScalars saved, DeviceStream stream)
    {
        using HandleLease lease = new(_handle, this);
        nopt_dimer* dimer = (nopt_dimer*)lease.Pointer;
        double[] conjugation = KeepsSearch ? saved.Conjugation : new double[ScopeCount];
        fixed (double* curvatures = saved.Curvature, conjugations = conjugation)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_set_curvature(dimer, ScopeCount, curvatures, (void*)stream.Pointer));
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_set_conjugation(dimer, ScopeCount, conjugations, (void*)stream.Pointer));
        }

        stream.KeepAlive();
        _options = _options with { Seed = saved.Seed };
        StepCount = saved.Step;
        GradientEvaluations = saved.GradientEvaluations;
        _progress = default;
        _updateWasLost = false;
        _measuredCurvature = null;
        Resume(saved.Activity);
    }

    private string OfEachScope(Func<nopt_dimer_status, double> value) =>
        string.Join(
            ' ',
            Enumerable.Range(0, ScopeCount).Select(
                scope => value(ReadStatus(scope)).ToString("R", CultureInfo.InvariantCulture)));
}
