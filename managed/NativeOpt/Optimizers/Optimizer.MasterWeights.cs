namespace NativeOpt;

// Master weights: making them from the parameters, and finding parameters that the host wrote after that.
public abstract unsafe partial class Optimizer
{
    // Until the first step, and from a load to the next step.
    private bool _masterWeightsAreUnchecked;

    /// <summary>
    /// Makes the master weights anew from the parameters as they are, after the host wrote these: copies of them with
    /// <see cref="MasterWeights.Float32"/>, zeros with <see cref="MasterWeights.Remainder"/>. Waits for the stream.
    /// </summary>
    /// <param name="stream">The stream of the work that wrote the parameters, and of the next step.</param>
    /// <exception cref="InvalidOperationException">
    /// The optimizer has no master weights, or a <see cref="DimerOptimizer"/> has displaced the parameters.
    /// </exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="InsufficientMemoryException">There is no memory for the state buffers.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void ResetMasterWeights(DeviceStream stream = default)
    {
        ThrowIfDisposed();
        if (_states.MasterRole is not { } role)
        {
            throw new InvalidOperationException(
                "The optimizer has no master weights to reset; it was made with MasterWeights.None.");
        }

        RequireNotDisplaced();
        EnsureState(stream);
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            WriteMasterWeights(_handle.Buffers.Pointers(NativeRole(role)), stream);
            _masterWeightsAreUnchecked = false;
        }
    }

    /// <summary>
    /// Finds the parameters that are not what their master weights round to: those that the host wrote without
    /// <see cref="ResetMasterWeights"/>, which the next step would overwrite. Copies all of both to the host, and waits.
    /// </summary>
    /// <param name="stream">The stream of the work that wrote the parameters, and of the last step.</param>
    /// <returns>
    /// The indices of such tensors. None if there are no master weights yet, or none at all; and none with
    /// <see cref="MasterWeights.Remainder"/>, where a parameter fits any remainder, and is at most one rounding away from it.
    /// </returns>
    /// <remarks>
    /// <c>Save</c>, and the first step of all and after a load, look for such parameters by themselves and throw
    /// <see cref="InvalidOperationException"/> if there is one (except for that step of an optimizer that is capturable on CUDA).
    /// Other steps do not look.
    /// </remarks>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="InvalidOperationException">A <see cref="DimerOptimizer"/> has displaced the parameters.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public IReadOnlyList<int> FindStaleMasterWeights(DeviceStream stream = default)
    {
        ThrowIfDisposed();
        RequireNotDisplaced();
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            return [.. StaleMasterWeights(stream).Select(static stale => stale.Tensor)];
        }
    }

    /// <summary>Throws if a parameter is not what its master weight rounds to.</summary>
    internal void RequireMasterWeights(DeviceStream stream)
    {
        lock (_stateLock)
        {
            foreach ((int tensor, long element) in StaleMasterWeights(stream))
            {
                throw new InvalidOperationException(
                    $"Element {element} of {StateTransfer.Describe(ParameterSet, tensor)} is not what its master weight rounds to: one "
                    + "of them was written or loaded without the other, and the next step would overwrite the parameter. Call "
                    + $"{nameof(ResetMasterWeights)} to go on from the parameters, or load those that belong to the master weights.");
            }
        }
    }

    /// <summary>Has the next step look whether the parameters fit the master weights, since one of them was loaded.</summary>
    internal void ForgetThatMasterWeightsFit()
    {
        _masterWeightsAreUnchecked = _states.MasterRole == StateRole.MasterParam;
        _stateIsReady &= !_masterWeightsAreUnchecked;
    }

    /// <summary>
    /// Looks whether the parameters fit the master weights, if that was not done since these were made or loaded. What the step
    /// itself makes of the parameters fits.
    /// </summary>
    private void CheckMasterWeightsOnce(DeviceStream stream)
    {
        // A step that a graph captures cannot wait for a copy.
        bool mayCapture = IsCapturable && ParameterSet.Device.Backend == Backend.Cuda;
        if (_masterWeightsAreUnchecked && !mayCapture)
        {
            RequireMasterWeights(stream);
        }

        _masterWeightsAreUnchecked = false;
    }

    /// <summary>The tensors whose parameters are not what the master weights round to, and the first such element of each.</summary>
    private IEnumerable<(int Tensor, long Element)> StaleMasterWeights(DeviceStream stream)
    {
        if (_states.MasterRole != StateRole.MasterParam || !_handle.Buffers.IsBound(NativeRole(StateRole.MasterParam)))
        {
            yield break;
        }

        int pieceLength = (int)Math.Min(TensorRef.MaxPieceLength, ParameterSet.TotalElementCount);
        float[] parameters = new float[pieceLength];
        float[] masters = new float[pieceLength];
        for (int tensor = 0; tensor < ParameterSet.Count; tensor++)
        {
            TensorRef master = _states[StateRole.MasterParam].At(
                tensor, _handle.Buffers.Pointers(NativeRole(StateRole.MasterParam))[tensor]);
            TensorRef parameter = ParameterSet.GetParameter(tensor);
            for (long done = 0; done < master.ElementCount; done += pieceLength)
            {
                int count = (int)Math.Min(pieceLength, master.ElementCount - done);
                parameter.Slice(done, count).CopyTo(parameters.AsSpan(0, count), stream);
                master.Slice(done, count).CopyTo(masters.AsSpan(0, count), stream);
                int element = 0;
                while (element < count && HalfPrecision.IsRounded(parameter.DType, parameters[element], masters[element]))
                {
                    element++;
                }

                if (element < count)
                {
                    yield return (tensor, done + element);
                    break;
                }
            }
        }
    }

    /// <summary>Writes what the parameters are to the buffers of master weights: remainders are zero then.</summary>
    private void WriteMasterWeights(ReadOnlySpan<nint> pointers, DeviceStream stream)
    {
        StateRole role = _states.MasterRole!.Value;
        BufferLayout masters = _states[role];
        int pieceLength = (int)Math.Min(TensorRef.MaxPieceLength, ParameterSet.TotalElementCount);
        float[] piece = new float[pieceLength];
        for (int tensor = 0; tensor < pointers.Length; tensor++)
        {
            TensorRef parameter = ParameterSet.GetParameter(tensor);
            TensorRef master = masters.At(tensor, pointers[tensor]);
            for (long done = 0; done < master.ElementCount; done += pieceLength)
            {
                TensorRef part = master.Slice(done, Math.Min(pieceLength, master.ElementCount - done));
                if (role == StateRole.MasterParam)
                {
                    parameter.Slice(done, part.ElementCount).CopyTo(piece.AsSpan(0, (int)part.ElementCount), stream);
                }

                fixed (float* host = piece)
                {
                    DeviceMemory.CopyAndWait(part.Device, (void*)part.Pointer, host, part.ByteCount, stream);
                }
            }
        }
    }
}
