using System.Buffers;
using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

// The direction, the gradients at displaced parameters, and the other buffers.
public sealed unsafe partial class DimerOptimizer
{
    private bool _buffersAreReady;
    private bool _hasDirection;

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
        nopt_dimer_status status = ReadStatus(scope);
        return new DimerStatus(
            status.step,
            status.curvature,
            status.grad_dot_direction,
            status.angle,
            (status.flags & (uint)nopt_dimer_status_flag.NOPT_DIMER_STATUS_ROTATION_REFUSED) != 0,
            (status.flags & (uint)nopt_dimer_status_flag.NOPT_DIMER_STATUS_CORRECTION_SKIPPED) != 0)
        {
            UpdateLost = _updateWasLost,
        };
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

    /// <summary>A tensor's part of the search direction, where angles are conjugate.</summary>
    internal TensorRef GetRotationDirection(int tensor)
    {
        EnsureBuffers(DeviceStream.Default);
        return Optimizer.ParameterSet.Float32Layout.At(
            tensor, _handle.Buffers.Pointers(nopt_role.NOPT_ROLE_ROTATION_DIRECTION)[tensor]);
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

    /// <summary>Writes the gradients at the parameters back, where those at displaced parameters took their place.</summary>
    private void RestoreGradients(DeviceStream stream)
    {
        BoundBuffers buffers = _handle.Buffers;
        if (buffers.IsBound(nopt_role.NOPT_ROLE_GRAD_DISPLACED))
        {
            return;
        }

        ReadOnlySpan<nint> backups = buffers.Pointers(nopt_role.NOPT_ROLE_GRAD_BACKUP);
        for (int tensor = 0; tensor < backups.Length; tensor++)
        {
            TensorRef gradient = Optimizer.ParameterSet.GetGradient(tensor);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_memory_copy(
                    gradient.Device.NativeBackend, gradient.Device.Index, (void*)gradient.Pointer, (void*)backups[tensor],
                    gradient.ByteCount, (void*)stream.Pointer));
        }

        stream.KeepAlive();
    }

    private nopt_dimer_status ReadStatus(int scope)
    {
        nopt_dimer_status status = new() { struct_size = (uint)sizeof(nopt_dimer_status) };
        using HandleLease lease = new(_handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_dimer_get_status((nopt_dimer*)lease.Pointer, scope, &status));
        return status;
    }

    /// <summary>Makes the curvatures NaN, since none was measured along a new direction.</summary>
    private void ForgetCurvature(DeviceStream stream)
    {
        double[] none = new double[ScopeCount];
        Array.Fill(none, double.NaN);
        _measuredCurvature = null;
        using HandleLease lease = new(_handle, this);
        fixed (double* values = none)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_dimer_set_curvature(
                    (nopt_dimer*)lease.Pointer, none.Length, values, (void*)stream.Pointer));
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
