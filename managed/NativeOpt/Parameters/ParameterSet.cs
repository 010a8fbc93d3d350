using System.Buffers;
using System.Collections.ObjectModel;
using System.Globalization;
using System.Runtime.InteropServices;
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
public sealed unsafe class ParameterSet : IDisposable
{
    private readonly nint[] _parameters;
    private readonly double[] _learningRateScales;
    private readonly double[] _weightDecays;
    private readonly int[] _groups;
    private object? _keptAlive;

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
        : this(device, parameters, options, [])
    {
    }

    // The pins are the set's, and then its handle's, from this call on.
    private ParameterSet(
        Device device, ReadOnlySpan<TensorRef> parameters, ReadOnlySpan<TensorOptions> options, GCHandle[] pins)
    {
        Device = device;
        try
        {
            _parameters = new nint[parameters.Length];
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
            (Names, _learningRateScales, _weightDecays, _groups) = Read(options, parameters.Length);
            GradientLayout = new BufferLayout(device, elementCounts, ReadGradientTypes(options, types));
        }
        catch
        {
            ParameterSetHandle.Free(pins);
            throw;
        }

        Handle = new ParameterSetHandle(ParameterLayout, pins);
        try
        {
            Handle.SetTypes(nopt_role.NOPT_ROLE_GRAD, GradientLayout);
            Bind(nopt_role.NOPT_ROLE_PARAM, _parameters);
            if (options.Length != 0)
            {
                SendLearningRateScales();
                SendWeightDecays();
                SendGroups();
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
    public IReadOnlyList<string> Names { get; }

    /// <summary>The elements of each tensor.</summary>
    public ReadOnlySpan<long> ElementCounts => ParameterLayout.ElementCounts;

    /// <summary>The parameters', and their backups while a dimer displaces them.</summary>
    internal BufferLayout ParameterLayout { get; }

    internal BufferLayout GradientLayout { get; }

    /// <summary>Of roles that are float32 whatever the parameters are.</summary>
    internal BufferLayout Float32Layout { get; }

    internal ParameterSetHandle Handle { get; }

    internal bool IsDisposed => Handle.IsDisposed;

    internal bool HasGradients { get; private set; }

    /// <summary>Registers plain arrays on the CPU. They are pinned until the set and its optimizer are disposed of.</summary>
    /// <param name="parameters">The parameters; a step updates them in place.</param>
    /// <param name="gradients">The gradient of each parameter; write new values into the same arrays before each step.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <returns>The set, ready to step.</returns>
    /// <exception cref="ArgumentNullException">A list is null.</exception>
    /// <exception cref="ArgumentException">
    /// An array is null or occurs twice, a gradient's length is not its parameter's, or the options do not fit.
    /// </exception>
    /// <example>
    /// <code>
    /// float[] weights = [1, 2, 3], gradient = new float[3];
    /// using ParameterSet parameters = ParameterSet.FromArrays([weights], [gradient]);
    /// using DualAdam optimizer = new(parameters, new DualAdamOptions { LearningRate = 1e-2 });
    /// for (int step = 0; step &lt; 100; step++)
    /// {
    ///     for (int i = 0; i &lt; weights.Length; i++)
    ///     {
    ///         gradient[i] = 2 * weights[i]; // of the sum of squares
    ///     }
    ///
    ///     optimizer.Step();
    /// }
    /// </code>
    /// </example>
    public static ParameterSet FromArrays(
        IReadOnlyList<float[]> parameters,
        IReadOnlyList<float[]> gradients,
        ReadOnlySpan<TensorOptions> options = default)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(gradients);
        RequireNoNull(parameters, nameof(parameters));
        RequireNoNull(gradients, nameof(gradients));
        GCHandle[] pins = [.. parameters.Concat(gradients).Select(static a => GCHandle.Alloc(a, GCHandleType.Pinned))];
        TensorRef[] tensors = [.. pins.Select(
            static pin => TensorRef.FromPointer(pin.AddrOfPinnedObject(), ((float[])pin.Target!).Length))];
        return WithGradients(
            new ParameterSet(Device.Cpu, tensors.AsSpan(0, parameters.Count), options, pins),
            tensors.AsSpan(parameters.Count));
    }

    /// <summary>Registers buffers, and refers to them, so that they are not freed for want of other references.</summary>
    /// <param name="parameters">The parameters, at least one.</param>
    /// <param name="gradients">The gradient of each parameter.</param>
    /// <param name="options">Options of each tensor, in the same order; empty: defaults for all.</param>
    /// <returns>The set, ready to step.</returns>
    /// <exception cref="ArgumentNullException">A list or a buffer is null.</exception>
    /// <exception cref="ArgumentException">A gradient does not fit its parameter, or as for the constructors.</exception>
    /// <exception cref="ObjectDisposedException">A buffer is disposed of.</exception>
    public static ParameterSet FromBuffers(
        IReadOnlyList<DeviceBuffer<float>> parameters,
        IReadOnlyList<DeviceBuffer<float>> gradients,
        ReadOnlySpan<TensorOptions> options = default)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(gradients);
        DeviceBuffer<float>[] kept = [.. parameters, .. gradients];
        TensorRef[] tensors = [.. kept.Select(TensorRef.FromDeviceBuffer)];
        ParameterSet set = WithGradients(
            new ParameterSet(tensors.AsSpan(0, parameters.Count), options), tensors.AsSpan(parameters.Count));
        set._keptAlive = kept;
        return set;
    }

    /// <summary>Sets where the gradients are, after checking that they fit.</summary>
    /// <param name="gradients">
    /// The gradient of each parameter, in the same order. One at address 0 freezes its parameter: neither that nor its states
    /// move. (A <see cref="DimerOptimizer"/> needs all.)
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
    /// the parameter or of <see cref="TensorOptions.GradientType"/>. 0 freezes the parameter: neither that nor its states
    /// move. (A <see cref="DimerOptimizer"/> needs all.)
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
        HasGradients = true;
    }

    /// <summary>
    /// Brings new addresses and options to the device, in stream order, for replays of captured steps; steps do so by
    /// themselves, except while they are captured. See <see cref="Optimizer.SetCapturable"/>. Does nothing on CPU.
    /// </summary>
    /// <param name="stream">The stream of the replays.</param>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="InvalidOperationException">The stream is being captured.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void Upload(DeviceStream stream = default)
    {
        using HandleLease lease = new(Handle, this);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_param_set_upload((nopt_param_set*)lease.Pointer, (void*)stream.Pointer));
        stream.KeepAlive();
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

    /// <summary>A registered parameter, where it is now.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The parameter.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public TensorRef GetParameter(int tensor)
    {
        RequireIndex(tensor);
        return ParameterLayout.At(tensor, _parameters[tensor]);
    }

    /// <summary>What multiplies the optimizer's learning rate for a tensor.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The factor.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public double GetLearningRateScale(int tensor)
    {
        RequireIndex(tensor);
        return _learningRateScales[tensor];
    }

    /// <summary>Sets what multiplies the optimizer's learning rate for a tensor, from the next step on.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="scale">The factor, finite and >= 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor, or the factor is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetLearningRateScale(int tensor, double scale)
    {
        RequireIndex(tensor);
        Check.AtLeastZero(scale, "The learning rate scale", nameof(scale));
        double before = _learningRateScales[tensor];
        _learningRateScales[tensor] = scale;
        try
        {
            SendLearningRateScales();
        }
        catch
        {
            _learningRateScales[tensor] = before;
            throw;
        }
    }

    /// <summary>A tensor's own weight decay.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>The weight decay; null if it takes the optimizer's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public double? GetWeightDecay(int tensor)
    {
        RequireIndex(tensor);
        double own = _weightDecays[tensor];
        return own == NativeMethods.NOPT_INHERIT ? null : own;
    }

    /// <summary>Sets a tensor's own weight decay, from the next step on.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <param name="weightDecay">The weight decay, finite and >= 0; null to take the optimizer's.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor, or the value is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The set is disposed of.</exception>
    public void SetWeightDecay(int tensor, double? weightDecay)
    {
        RequireIndex(tensor);
        Check.AtLeastZero(weightDecay ?? 0, "The weight decay", nameof(weightDecay));
        double before = _weightDecays[tensor];
        _weightDecays[tensor] = weightDecay ?? NativeMethods.NOPT_INHERIT;
        try
        {
            SendWeightDecays();
        }
        catch
        {
            _weightDecays[tensor] = before;
            throw;
        }
    }

    /// <summary>The group of hyperparameters that a tensor belongs to.</summary>
    /// <param name="tensor">The tensor's index.</param>
    /// <returns>Its <see cref="TensorOptions.Group"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tensor.</exception>
    public int GetGroup(int tensor)
    {
        RequireIndex(tensor);
        return _groups[tensor];
    }

    /// <summary>Lets the tensors go; they are the host's and stay. Further calls do nothing.</summary>
    /// <remarks>An optimizer over the set cannot be used after this, but must still be disposed of.</remarks>
    public void Dispose() => Handle.Dispose();

    internal void RequireCount(int count, string paramName) => ParameterLayout.RequireCount(count, paramName);

    internal void RequireIndex(int tensor)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tensor);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(tensor, Count);
    }

    /// <summary>Throws unless the groups of all tensors are among so many.</summary>
    internal void RequireGroups(int count, string paramName)
    {
        int tensor = Array.FindIndex(_groups, group => group >= count);
        if (tensor >= 0)
        {
            throw new ArgumentException(
                $"Tensor {tensor} (\"{Names[tensor]}\") is in group {_groups[tensor]}, which has no options: there are those of "
                + (count == 1 ? "group 0" : $"groups 0 to {count - 1}")
                + $". Give the optimizer a list of options with an entry for each group, or the tensor another "
                + $"{nameof(TensorOptions)}.{nameof(TensorOptions.Group)}.",
                paramName);
        }
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

    private static void RequireNoNull(IReadOnlyList<float[]> arrays, string paramName)
    {
        for (int i = 0; i < arrays.Count; i++)
        {
            if (arrays[i] is null)
            {
                throw new ArgumentException($"{paramName}[{i}] is null.", paramName);
            }
        }
    }

    private static ParameterSet WithGradients(ParameterSet set, ReadOnlySpan<TensorRef> gradients)
    {
        try
        {
            set.SetGradients(gradients);
            return set;
        }
        catch
        {
            set.Dispose();
            throw;
        }
    }

    private static (ReadOnlyCollection<string> Names, double[] Scales, double[] WeightDecays, int[] Groups) Read(
        ReadOnlySpan<TensorOptions> options, int count)
    {
        if (options.Length != 0 && options.Length != count)
        {
            throw new ArgumentException(
                $"options has {options.Length} entries, but there are {count} parameters.", nameof(options));
        }

        string[] names = new string[count];
        double[] scales = new double[count];
        double[] weightDecays = new double[count];
        int[] groups = new int[count];
        HashSet<string> taken = [];
        TensorOptions defaults = new();
        for (int i = 0; i < count; i++)
        {
            TensorOptions own = options.IsEmpty
                ? defaults
                : options[i] ?? throw new ArgumentException($"options[{i}] is null.", nameof(options));
            Check.AtLeastZero(own.LearningRateScale, $"options[{i}].LearningRateScale", nameof(options));
            Check.AtLeastZero(own.WeightDecay ?? 0, $"options[{i}].WeightDecay", nameof(options));
            names[i] = own.Name ?? i.ToString(CultureInfo.InvariantCulture);
            scales[i] = own.LearningRateScale;
            weightDecays[i] = own.WeightDecay ?? NativeMethods.NOPT_INHERIT;
            groups[i] = own.Group;
            if (own.Group is < 0 or >= NativeMethods.NOPT_MAX_GROUPS)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(options), own.Group,
                    $"options[{i}].Group is {own.Group}; it must be 0 to {NativeMethods.NOPT_MAX_GROUPS - 1}.");
            }

            if (names[i].Length == 0)
            {
                throw new ArgumentException($"options[{i}].Name is empty.", nameof(options));
            }

            if (!taken.Add(names[i]))
            {
                throw new ArgumentException(
                    $"Two tensors have the name \"{names[i]}\", the second at {i} (without a name it is the index).",
                    nameof(options));
            }
        }

        return (Array.AsReadOnly(names), scales, weightDecays, groups);
    }

    private static DType[] ReadGradientTypes(ReadOnlySpan<TensorOptions> options, DType[] types)
    {
        DType[] gradientTypes = [.. types];
        for (int i = 0; i < options.Length; i++)
        {
            gradientTypes[i] = options[i].GradientType ?? types[i];
            if (!gradientTypes[i].IsNumber())
            {
                throw BufferLayout.NotANumber(gradientTypes[i], $"options[{i}].GradientType");
            }
        }

        return gradientTypes;
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

    private void SendLearningRateScales()
    {
        using HandleLease lease = new(Handle, this);
        fixed (double* values = _learningRateScales)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_lr_scale((nopt_param_set*)lease.Pointer, Count, values));
        }
    }

    private void SendGroups()
    {
        using HandleLease lease = new(Handle, this);
        fixed (int* values = _groups)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_groups((nopt_param_set*)lease.Pointer, Count, values));
        }
    }

    private void SendWeightDecays()
    {
        using HandleLease lease = new(Handle, this);
        fixed (double* values = _weightDecays)
        {
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_param_set_set_weight_decay((nopt_param_set*)lease.Pointer, Count, values));
        }
    }
}
