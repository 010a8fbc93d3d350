using System.Runtime.InteropServices;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>
/// The tensors that a row works on: one allocation for each role, in which every tensor begins at a multiple of 64 bytes.
/// NativeOpt, the floor and the peers take turns on the same ones, so that none of them has the luckier pages.
/// </summary>
/// <remarks>
/// Gradients stay what they are for hundreds of steps, between 0.01 and 0.1 in magnitude: moments tend to g and g², momentum
/// to 10g, and the parameters move by about a learning rate. Nothing comes near a denormal number, an overflow or a NaN,
/// however many steps are taken.
/// </remarks>
internal sealed unsafe class BenchBuffers : IDisposable
{
    private const int PatternLength = 1 << 16;
    private const int Alignment = 64;

    private readonly Dictionary<string, Role> _roles = [];
    private readonly long[] _counts;
    private readonly DType _type;

    /// <summary>Allocates the buffers of a row.</summary>
    public BenchBuffers(BenchCase row)
    {
        Device = row.Device;
        _counts = [.. row.Shape.ElementCounts];
        _type = row.DType;
        try
        {
            foreach ((string role, long[] bytes) in row.TensorBytes)
            {
                _roles.Add(role, new Role(row.Device, bytes));
            }

            FillParameters();
            FillGradients(0);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public Device Device { get; }

    /// <summary>The number of tensors.</summary>
    public int Count => _counts.Length;

    /// <summary>The elements of all tensors together.</summary>
    public long ElementCount => _counts.Sum();

    /// <summary>The elements of the largest tensor.</summary>
    public long LargestCount => _counts.Max();

    /// <summary>The parameters.</summary>
    public TensorRef[] Parameters =>
    [
        .. _counts.Zip(
            _roles[StepTraffic.Param].Pointers, (count, pointer) => new TensorRef(pointer, count, _type, Device)),
    ];

    /// <summary>The address of each tensor's buffer.</summary>
    public ReadOnlySpan<nint> Pointers(string role) => _roles[role].Pointers;

    /// <summary>
    /// Where the floor finds a stream: with the contenders' own buffers, but for parameters that it would overwrite without
    /// knowing what they are.
    /// </summary>
    public nint OfFloor(BenchStream stream)
    {
        const string Overwritten = "overwritten_param";
        if (stream is not { Role: StepTraffic.Param, Reads: false })
        {
            return _roles[stream.Role].Pointers[0];
        }

        if (!_roles.TryGetValue(Overwritten, out Role? role))
        {
            role = new Role(Device, _roles[StepTraffic.Param].TensorBytes);
            _roles.Add(Overwritten, role);
        }

        return role.Pointers[0];
    }

    /// <summary>The tensors of a role that is float32 on the CPU; none if the row has no such role.</summary>
    public TensorSpans Tensors(string role) =>
        _roles.TryGetValue(role, out Role? own) ? new TensorSpans(own.Pointers, _counts) : default;

    /// <summary>Makes everything what it was at first: states zero.</summary>
    public void Reset()
    {
        foreach (Role role in _roles.Values)
        {
            role.Memory.Fill(0);
        }

        FillParameters();
        FillGradients(0);
    }

    /// <summary>Writes gradients, other ones for each seed; 0: those of the beginning.</summary>
    public void FillGradients(int seed) => Fill(StepTraffic.Grad, 0.01f, 0.09f, seed);

    public void Dispose()
    {
        foreach (Role role in _roles.Values)
        {
            role.Memory.Dispose();
        }
    }

    private void FillParameters() => Fill(StepTraffic.Param, 0.25f, 0.75f, -1);

    /// <summary>
    /// Writes magnitudes from a number up, of either sign. They repeat: drawing each would take longer than measuring.
    /// </summary>
    private void Fill(string role, float smallest, float range, int seed)
    {
        var random = new DeterministicRandom((ulong)seed);
        float[] pattern = new float[PatternLength];
        for (int i = 0; i < PatternLength; i++)
        {
            float magnitude = smallest + (range * (float)random.NextDouble());
            pattern[i] = random.NextDouble() < 0.5 ? -magnitude : magnitude;
        }

        ReadOnlySpan<byte> bytes = Encode(pattern);
        DeviceBuffer<byte> memory = _roles[role].Memory;
        for (long offset = 0; offset < memory.Length; offset += bytes.Length)
        {
            memory.CopyFrom(bytes[..(int)Math.Min(bytes.Length, memory.Length - offset)], offset);
        }
    }

    private ReadOnlySpan<byte> Encode(float[] values)
    {
        switch (_type)
        {
            case DType.Float32:
                return MemoryMarshal.AsBytes<float>(values);
            case DType.BFloat16:
                ushort[] rounded = new ushort[values.Length];
                BFloat16.Round(values, rounded);
                return MemoryMarshal.AsBytes<ushort>(rounded);
            case DType.Float16:
                return MemoryMarshal.AsBytes<Half>(Array.ConvertAll(values, static value => (Half)value));
            default:
                throw new NotSupportedException($"Parameters of {_type} cannot be filled with numbers.");
        }
    }

    /// <summary>What a developer would have as a list of arrays.</summary>
    public readonly struct TensorSpans(nint[] pointers, long[] counts)
    {
        /// <summary>A tensor's elements.</summary>
        public Span<float> this[int tensor] => new((void*)pointers[tensor], (int)counts[tensor]);
    }

    private sealed record Role(DeviceBuffer<byte> Memory, nint[] Pointers, long[] TensorBytes)
    {
        public Role(Device device, long[] tensorBytes)
            : this(new DeviceBuffer<byte>(device, tensorBytes.Sum(Padded)), new nint[tensorBytes.Length], tensorBytes)
        {
            nint next = Memory.Pointer;
            for (int i = 0; i < Pointers.Length; i++)
            {
                Pointers[i] = next;
                next += (nint)Padded(tensorBytes[i]);
            }
        }

        private static long Padded(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;
    }
}
