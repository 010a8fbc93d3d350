using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The device memory of an optimizer, told before it is made: of its states, and of a dimer around it. It is what they
/// allocate, to the byte.
/// </summary>
/// <remarks>
/// Parameters and gradients are the host's and stand beside. Not counted: what the host binds itself
/// (<see cref="Optimizer.BindState(StateRole, ReadOnlySpan{nint})"/>,
/// <see cref="DimerOptimizer.SetDisplacedGradients(ReadOnlySpan{nint})"/> in place of grad_backup), and the library's tables
/// of tensors and partial sums, which are small.
/// </remarks>
public sealed class OptimizerMemory
{
    // Enough for any model; sums of bytes cannot overflow.
    private const long MaxElementCount = 1L << 56;

    private OptimizerMemory(BufferLayout parameters, BufferLayout gradients, List<BufferMemory> buffers)
    {
        ElementCount = parameters.TotalElementCount;
        ParameterBytes = parameters.TotalByteCount;
        GradientBytes = gradients.TotalByteCount;
        Buffers = buffers.AsReadOnly();
        TotalBytes = buffers.Sum(static buffer => buffer.Bytes);
    }

    /// <summary>The elements of all tensors together.</summary>
    public long ElementCount { get; }

    /// <summary>The bytes of the parameters, which are the host's.</summary>
    public long ParameterBytes { get; }

    /// <summary>The bytes of the gradients, which are the host's.</summary>
    public long GradientBytes { get; }

    /// <summary>The buffers of the optimizer and of the dimer; none for SGD without momentum.</summary>
    public IReadOnlyList<BufferMemory> Buffers { get; }

    /// <summary>The bytes of all <see cref="Buffers"/>.</summary>
    public long TotalBytes { get; }

    /// <summary>Tells what an optimizer would take.</summary>
    /// <param name="options">The optimizer's options, which also say which optimizer.</param>
    /// <param name="tensors">The tensors.</param>
    /// <param name="dimer">The options of a dimer around it; null: there is none.</param>
    /// <returns>The bytes.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="options"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option or a number of elements is out of its range.</exception>
    /// <exception cref="ArgumentException">The options do not fit the tensors' types, as with the optimizer itself.</exception>
    /// <exception cref="NotSupportedException">An element type is not implemented.</exception>
    /// <example>
    /// <code>
    /// AdamWOptions options = new() { MasterWeights = MasterWeights.Remainder };
    /// OptimizerMemory memory = OptimizerMemory.Of(options, [new TensorSpec(1_000_000, DType.BFloat16)]);
    /// Console.WriteLine(memory.TotalBytes); // 10,000,000: 4 for each of exp_avg and exp_avg_sq, 2 for param_remainder
    /// </code>
    /// </example>
    public static OptimizerMemory Of(
        OptimizerOptions options, ReadOnlySpan<TensorSpec> tensors, DimerOptions? dimer = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        (BufferLayout parameters, BufferLayout gradients) = Layouts(tensors);
        options.ValidateTypes(
            parameters, static tensor => tensor.ToString(CultureInfo.InvariantCulture), nameof(options));
        dimer?.Validate(nameof(dimer));

        DType?[] stateTypes = [.. tensors.ToArray().Select(static tensor => tensor.StateType)];
        StateLayouts states = new(parameters, options, stateTypes);
        nopt_hyperparams hyperparameters = options.Values("", nameof(options)).Native;
        states.RequireTypes(hyperparameters, nameof(options));
        List<BufferMemory> buffers =
            [.. states.Roles(hyperparameters).Select(role => new BufferMemory(role.Name, states[role].AllocationByteCount))];
        if (dimer is not null)
        {
            buffers.AddRange(
                dimer.Layouts(parameters, gradients).Select(
                    static buffer => new BufferMemory(RoleTable.Name(buffer.Role), buffer.Layout.AllocationByteCount)));
        }

        return new OptimizerMemory(parameters, gradients, buffers);
    }

    private static (BufferLayout Parameters, BufferLayout Gradients) Layouts(ReadOnlySpan<TensorSpec> tensors)
    {
        long[] elementCounts = new long[tensors.Length];
        DType[] types = new DType[tensors.Length];
        DType[] gradientTypes = new DType[tensors.Length];
        long left = MaxElementCount;
        for (int i = 0; i < tensors.Length; i++)
        {
            (elementCounts[i], types[i], gradientTypes[i]) =
                (tensors[i].ElementCount, tensors[i].DType, tensors[i].GradientType ?? tensors[i].DType);
            if (elementCounts[i] < 0 || elementCounts[i] > left)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(tensors),
                    elementCounts[i],
                    $"tensors[{i}] has {elementCounts[i]} elements; it must be 0 or more, and all together at most 2^56.");
            }

            if (!types[i].IsNumber() || !gradientTypes[i].IsNumber())
            {
                throw BufferLayout.NotANumber(types[i].IsNumber() ? gradientTypes[i] : types[i], $"tensors[{i}]");
            }

            if (tensors[i].StateType is { } stateType)
            {
                Check.StateType(stateType, $"tensors[{i}].StateType", nameof(tensors));
            }

            left -= elementCounts[i];
        }

        return (
            new BufferLayout(Device.Cpu, elementCounts, types), new BufferLayout(Device.Cpu, elementCounts, gradientTypes));
    }
}
