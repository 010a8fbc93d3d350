using System.Buffers;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The tensors of a model, or of a part of it, on one device: registered once, then updated by an <see cref="Optimizer"/>
/// in one pass however many they are.
/// </summary>
/// <remarks>
/// <para>
/// The host owns the tensors. Their addresses must stay valid until the last step that uses them has finished on its
/// stream. Gradients may get new addresses at any time: give them to <see cref="SetGradients(ReadOnlySpan{nint})"/>.
/// Buffers that a step writes (parameters and states) must not overlap anything else; gradients may overlap each other.
/// </para>
/// <para>
/// A set and its optimizer serve one thread at a time; use from two at once throws <see cref="ConcurrentUseException"/>.
/// Dispose of the optimizer first, then of the set.
/// </para>
/// </remarks>
public sealed unsafe partial class ParameterSet : IDisposable
{
    private static readonly nopt_role[] ReboundRoles = [nopt_role.NOPT_ROLE_PARAM, nopt_role.NOPT_ROLE_GRAD];

    private readonly nint[] _parameters;
    private readonly nint[] _gradients;
    private readonly PerTensorOptions _options;

    /// <summary>Registers tensors, at least one; the device is theirs.</summary>
    /// <param name="parameters">The parameters, all of one device; each has its own element type.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <exception cref="ArgumentException">
    /// There are no parameters, they are on several devices, overlap or are misaligned, a pointer is null, the options are
    /// fewer or more, or two names are equal.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="NativeOptException">The device's backend cannot be used; the message says why.</exception>
    public ParameterSet(ReadOnlySpan<TensorRef> parameters, ReadOnlySpan<TensorOptions> options = default)
        : this(DeviceOf(parameters), parameters, options)
    {
    }

    /// <summary>Registers tensors, perhaps none, of a device.</summary>
    /// <param name="device">Where the tensors are.</param>
    /// <param name="parameters">The parameters, all of this device; each has its own element type.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <exception cref="ArgumentException">As for the other constructor, except that there may be no parameters.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="NativeOptException">The device's backend cannot be used; the message says why.</exception>
    public ParameterSet(
        Device device, ReadOnlySpan<TensorRef> parameters, ReadOnlySpan<TensorOptions> options = default)
        : this(device, parameters, options, owner: null)
    {
    }

    // The owner is the set's, and then its handle's, from this call on.
    private ParameterSet(
        Device device, ReadOnlySpan<TensorRef> parameters, ReadOnlySpan<TensorOptions> options, object? owner)
    {
        Device = device;
        try
        {
            _parameters = new nint[parameters.Length];
            _gradients = new nint[parameters.Length];
            long[] elementCounts = new long[parameters.Length];
            DType[] types = new DType[parameters.Length];
            for (int i = 0; i < parameters.Length; i++)
            {
                RequireTensor(parameters[i], i, nameof(parameters));
                _parameters[i] = parameters[i].Pointer;
                elementCounts[i] = parameters[i].ElementCount;
                types[i] = parameters[i].DType;
            }

            ParameterLayout = new BufferLayout(device, elementCounts, types);
            Float32Layout = ParameterLayout.With(DType.Float32);
            _options = new PerTensorOptions(options, types, nameof(options));
            GradientLayout = new BufferLayout(device, elementCounts, _options.GradientTypes);
        }
        catch
        {
            (owner as IDisposable)?.Dispose();
            throw;
        }

        Handle = new ParameterSetHandle(ParameterLayout, owner);
        try
        {
            Handle.SetTypes(nopt_role.NOPT_ROLE_GRAD, GradientLayout);
            Bind(nopt_role.NOPT_ROLE_PARAM, _parameters);
            if (options.Length != 0)
            {
                SendOptions();
            }
        }
        catch
        {
            Handle.Dispose();
            throw;
        }
    }

    /// <summary>Where the tensors are.</summary>
    public Device Device { get; }

    /// <summary>The number of tensors.</summary>
    public int Count => _parameters.Length;

    /// <summary>The elements of all tensors together.</summary>
    public long TotalElementCount => ParameterLayout.TotalElementCount;

    /// <summary>The tensors' names in state files, all different.</summary>
    public IReadOnlyList<string> Names => _options.Names;

    /// <summary>The elements of each tensor.</summary>
    public ReadOnlySpan<long> ElementCounts => ParameterLayout.ElementCounts;

    /// <summary>What the parameters are made of, and their backups while a dimer displaces them.</summary>
    internal BufferLayout ParameterLayout { get; }

    internal BufferLayout GradientLayout { get; }

    /// <summary>What the buffers of roles are made of that are float32 whatever the parameters are.</summary>
    internal BufferLayout Float32Layout { get; }

    /// <summary>The types of each tensor's states; null for those of the optimizer's options.</summary>
    internal DType?[] StateTypes => _options.StateTypes;

    internal ParameterSetHandle Handle { get; }

    internal bool IsDisposed => Handle.IsDisposed;

    internal bool HasGradients { get; private set; }

    /// <summary>Sets where the gradients are, after checking that they fit.</summary>
    /// <param name="gradients">
    /// The gradient of each parameter, in the same order. One at address 0 freezes its parameter: neither that nor its states
    /// move, and it counts no step. (A <see cref="DimerOptimizer"/> needs all.)
    /// </param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more than parameters, a length, element type, device or alignment does not fit, or a gradient
    /// overlaps a buffer that a step writes.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetGradients(ReadOnlySpan<TensorRef> gradients)
    {
        nint[] pointers = GradientLayout.RentPointers(gradients, nameof(gradients));
        try
        {
            SetGradients(pointers.AsSpan(0, gradients.Length));
        }
        finally
        {
            ArrayPool<nint>.Shared.Return(pointers);
        }
    }

    /// <summary>Sets where the gradients are, by address. For the step path: it allocates nothing.</summary>
    /// <param name="gradients">
    /// The address of each parameter's gradient on the set's device: as many elements as the parameter has, of the type of
    /// the parameter or of <see cref="TensorOptions.GradientType"/>. An address of 0 freezes the parameter: neither
    /// that nor its states move, and it counts no step. (A <see cref="DimerOptimizer"/> needs all.)
    /// </param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more than parameters, a pointer is misaligned, or a gradient overlaps a buffer that a step writes.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetGradients(ReadOnlySpan<nint> gradients)
    {
        RequireCount(gradients.Length, nameof(gradients));
        Bind(nopt_role.NOPT_ROLE_GRAD, gradients);
        gradients.CopyTo(_gradients);
        HasGradients = true;
    }

    /// <summary>Sets where the parameters are, if the host moved them, after checking that they fit.</summary>
    /// <param name="parameters">The parameters, in the order of registration.</param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more than before, a length, element type, device or alignment does not fit, a pointer is null, or
    /// a parameter overlaps another buffer.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetParameters(ReadOnlySpan<TensorRef> parameters)
    {
        nint[] pointers = ParameterLayout.RentPointers(parameters, nameof(parameters));
        try
        {
            SetParameters(pointers.AsSpan(0, parameters.Length));
        }
        finally
        {
            ArrayPool<nint>.Shared.Return(pointers);
        }
    }

    /// <summary>Sets where the parameters are, if the host moved them, by address.</summary>
    /// <param name="parameters">The address of each parameter on the set's device, in the order of registration.</param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more than before, a pointer is null or misaligned, or a parameter overlaps another buffer.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetParameters(ReadOnlySpan<nint> parameters)
    {
        RequireCount(parameters.Length, nameof(parameters));
        Bind(nopt_role.NOPT_ROLE_PARAM, parameters);
        parameters.CopyTo(_parameters);
    }

    /// <summary>
    /// Sets where the parameters and the gradients are, both at once, after checking that they fit; see the overload with
    /// addresses.
    /// </summary>
    /// <param name="parameters">The parameters, in the order of registration.</param>
    /// <param name="gradients">The gradient of each parameter; one at address 0 freezes its parameter.</param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more of one of them than tensors, a length, element type, device or alignment does not fit, a
    /// parameter is null, or a parameter overlaps another buffer. Both are where they were.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void Rebind(ReadOnlySpan<TensorRef> parameters, ReadOnlySpan<TensorRef> gradients)
    {
        nint[] pointers = ParameterLayout.RentPointers(parameters, nameof(parameters));
        try
        {
            nint[] ofGradients = GradientLayout.RentPointers(gradients, nameof(gradients));
            try
            {
                Rebind(pointers.AsSpan(0, parameters.Length), ofGradients.AsSpan(0, gradients.Length));
            }
            finally
            {
                ArrayPool<nint>.Shared.Return(ofGradients);
            }
        }
        finally
        {
            ArrayPool<nint>.Shared.Return(pointers);
        }
    }

    /// <summary>
    /// Sets where the parameters and the gradients are, both at once, by address: for hosts that move both, where the new
    /// parameters may lie where the old gradients were. It allocates nothing, and addresses that are what they were cost a
    /// comparison. States that moved, too, are let go before with <see cref="Optimizer.UnbindStates"/> and bound after.
    /// </summary>
    /// <param name="parameters">The address of each parameter on the set's device, in the order of registration.</param>
    /// <param name="gradients">
    /// The address of each parameter's gradient; an address of 0 freezes the parameter. See
    /// <see cref="SetGradients(ReadOnlySpan{nint})"/>.
    /// </param>
    /// <exception cref="ArgumentException">
    /// There are fewer or more of one of them than tensors, a pointer is misaligned, a parameter is null, or a parameter
    /// overlaps another buffer. Both are where they were.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void Rebind(ReadOnlySpan<nint> parameters, ReadOnlySpan<nint> gradients)
    {
        RequireCount(parameters.Length, nameof(parameters));
        RequireCount(gradients.Length, nameof(gradients));
        using HandleLease lease = new(Handle, this);
        nint none = 0;
        fixed (nint* firstParameter = parameters, firstGradient = gradients)
        {
            // Null would unbind: a set without tensors has arrays of no elements.
            void*** pointers = stackalloc void**[]
            {
                Count == 0 ? (void**)&none : (void**)firstParameter,
                Count == 0 ? (void**)&none : (void**)firstGradient,
            };
            NativeError.ThrowIfFailed(Handle.Bind(ReboundRoles, pointers));
        }

        parameters.CopyTo(_parameters);
        gradients.CopyTo(_gradients);
        HasGradients = true;
    }

    /// <summary>A registered parameter, where it is now.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The parameter.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public TensorRef GetParameter(int tensor)
    {
        RequireIndex(tensor);
        return ParameterLayout.At(tensor, _parameters[tensor]);
    }

    /// <summary>A parameter's gradient, where it is now; at address 0 if it has none.</summary>
    internal TensorRef GetGradient(int tensor) => GradientLayout.At(tensor, _gradients[tensor]);

    /// <summary>Lets the tensors go; they are the host's and stay. Further calls do nothing.</summary>
    /// <remarks>An optimizer over the set cannot be used after this, but must still be disposed of.</remarks>
    public void Dispose() => Handle.Dispose();

    internal void RequireCount(int count, string paramName) => ParameterLayout.RequireCount(count, paramName);

    internal void RequireIndex(int tensor)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tensor);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(tensor, Count);
    }

    private static Device DeviceOf(ReadOnlySpan<TensorRef> parameters) =>
        parameters.IsEmpty
            ? throw new ArgumentException(
                "There are no parameters to take the device from; use the constructor that has a device.",
                nameof(parameters))
            : parameters[0].Device;

    private void RequireTensor(TensorRef tensor, int index, string paramName)
    {
        if (!tensor.DType.IsNumber())
        {
            throw BufferLayout.NotANumber(tensor.DType, $"{paramName}[{index}]");
        }

        BufferLayout.RequireDevice(tensor, Device, index, paramName);
    }

    private void Bind(nopt_role role, ReadOnlySpan<nint> pointers)
    {
        using HandleLease lease = new(Handle, this);
        fixed (nint* first = pointers)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_bind(
                    (nopt_param_set*)lease.Pointer, role, pointers.Length, (void**)first));
        }
    }
}
