using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Where tensors are and steps run: the CPU (the default value) or one of the GPUs.</summary>
/// <remarks>A value names a device; whether it exists shows at first use, or by <see cref="Count"/>.</remarks>
public readonly record struct Device
{
    private const string Forms = "\"cpu\", \"cuda\" or \"cuda:N\" with N from 0";

    private Device(Backend backend, int index)
    {
        Backend = backend;
        Index = index;
    }

    /// <summary>The CPU. All of its processors are one device.</summary>
    public static Device Cpu => default;

    /// <summary>What runs the steps.</summary>
    public Backend Backend { get; }

    /// <summary>The index among the backend's devices, from 0; 0 on CPU.</summary>
    public int Index { get; }

    internal nopt_backend NativeBackend => (nopt_backend)Backend;

    /// <summary>A GPU, by the index that the CUDA runtime gives it (<c>CUDA_VISIBLE_DEVICES</c> applies).</summary>
    /// <param name="index">From 0.</param>
    /// <returns>The device's name; it need not exist.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="index"/> is negative.</exception>
    public static Device Cuda(int index = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        return new Device(Backend.Cuda, index);
    }

    /// <summary>Reads "cpu", "cuda" (the first GPU) or "cuda:1".</summary>
    /// <param name="text">The text, in lower case and without spaces.</param>
    /// <returns>The device.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null.</exception>
    /// <exception cref="FormatException"><paramref name="text"/> is none of these forms.</exception>
    public static Device Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryParse(text, out Device device)
            ? device
            : throw new FormatException($"\"{text}\" is not a device; write {Forms}.");
    }

    /// <summary>Reads what <see cref="Parse"/> reads.</summary>
    /// <param name="text">The text, or null.</param>
    /// <param name="device">The device; the CPU if the text is none.</param>
    /// <returns>Whether the text is a device.</returns>
    public static bool TryParse([NotNullWhen(true)] string? text, out Device device)
    {
        const string Prefix = "cuda:";
        device = Cpu;
        if (text is "cpu")
        {
            return true;
        }

        int index = 0;
        bool isCuda = text is "cuda"
            || (text is not null && text.StartsWith(Prefix, StringComparison.Ordinal)
                && int.TryParse(
                    text.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out index));
        if (isCuda)
        {
            device = Cuda(index);
        }

        return isCuda;
    }

    /// <summary>The number of devices of a backend.</summary>
    /// <param name="backend">The backend.</param>
    /// <returns>1 for the CPU; 0 where CUDA cannot be used (<see cref="TryGetCudaDevices"/> says why).</returns>
    /// <exception cref="ArgumentException"><paramref name="backend"/> is no <see cref="NativeOpt.Backend"/>.</exception>
    /// <exception cref="NativeOptException">The driver reported a fault.</exception>
    public static unsafe int Count(Backend backend)
    {
        int count;
        nopt_status status = NativeMethods.nopt_device_count((nopt_backend)backend, &count);
        if (status == nopt_status.NOPT_ERROR_UNAVAILABLE)
        {
            return 0;
        }

        NativeError.ThrowIfFailed(status);
        return count;
    }

    /// <summary>The GPUs, or the reason why there are none.</summary>
    /// <param name="devices">All GPUs; empty if there are none.</param>
    /// <param name="reason">Null if there are some; else what is missing: CUDA in this build, the driver, or a device.</param>
    /// <returns>Whether there is at least one.</returns>
    public static bool TryGetCudaDevices(
        out IReadOnlyList<Device> devices, [NotNullWhen(false)] out string? reason)
    {
        int count = Count(Backend.Cuda);
        devices = Enumerable.Range(0, count).Select(Cuda).ToArray();
        reason = count > 0 ? null : NativeError.LastMessage;
        return count > 0;
    }

    /// <summary>Describes the device.</summary>
    /// <returns>Its name and capabilities.</returns>
    /// <exception cref="ArgumentException">The backend has no device of this index.</exception>
    /// <exception cref="NativeOptException">The backend cannot be used; the message says why.</exception>
    public unsafe DeviceInfo GetInfo()
    {
        nopt_device_info info = new() { struct_size = (uint)sizeof(nopt_device_info) };
        NativeError.ThrowIfFailed(NativeMethods.nopt_device_get_info(NativeBackend, Index, &info));
        return new DeviceInfo(
            this,
            NativeError.Text((sbyte*)&info.name),
            info.processor_count,
            info.memory_bytes == 0 ? null : info.memory_bytes,
            Backend == Backend.Cpu
                ? null
                : new Version(info.compute_capability_major, info.compute_capability_minor));
    }

    /// <summary>The form that <see cref="Parse"/> reads.</summary>
    /// <returns>"cpu" or, for example, "cuda:0".</returns>
    public override string ToString() =>
        Backend == Backend.Cpu ? "cpu" : string.Create(CultureInfo.InvariantCulture, $"cuda:{Index}");
}
