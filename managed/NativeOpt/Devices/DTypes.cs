using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What the native library says of element types.</summary>
public static unsafe class DTypes
{
    private static readonly Lazy<Dictionary<DType, nopt_dtype_info>> Described = new(Read);

    /// <summary>Computes the bytes of a tensor.</summary>
    /// <param name="type">The element type.</param>
    /// <param name="elementCount">The number of elements, 0 or more.</param>
    /// <returns>The bytes; for <see cref="DType.Dynamic8"/> the scales are included.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type, or the count is negative.</exception>
    /// <exception cref="OverflowException">The bytes do not fit 63 bits.</exception>
    public static long ByteCount(this DType type, long elementCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementCount);
        nopt_dtype_info info = type.Info();
        long blocks = (elementCount / info.block_elements) + (elementCount % info.block_elements == 0 ? 0 : 1);
        return checked((elementCount * info.element_bytes) + (blocks * info.block_extra_bytes));
    }

    /// <summary>The element type of tensors whose elements .NET holds as a type.</summary>
    /// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
    /// <returns><see cref="DType.Float32"/> or <see cref="DType.Float16"/>.</returns>
    /// <exception cref="NotSupportedException">
    /// Tensors have no elements of this type, or the type alone does not say what its bits are: <see cref="ushort"/> holds
    /// <see cref="DType.BFloat16"/>, for one.
    /// </exception>
    public static DType Of<T>()
        where T : unmanaged
    {
        if (typeof(T) == typeof(float))
        {
            return DType.Float32;
        }

        return typeof(T) == typeof(Half)
            ? DType.Float16
            : throw new NotSupportedException(
                $"No element type follows from {typeof(T)}; use {typeof(float)} or {typeof(Half)}, or name the element type of "
                + $"elements of 16 bits, such as {nameof(DType)}.{DType.BFloat16}.");
    }

    /// <summary>The bytes of an element, without those that a block has beside its elements.</summary>
    internal static int ElementByteCount(this DType type) => type.Info().element_bytes;

    /// <summary>Whether it is a type of parameters and gradients.</summary>
    internal static bool IsNumber(this DType type) => type is DType.Float32 or DType.BFloat16 or DType.Float16;

    /// <summary>The native library's name of a type, for example "dynamic8".</summary>
    internal static string NativeName(this DType type) => NativeError.Text(type.Info().name);

    /// <summary>The safetensors format's name of a type; that of its bytes for Dynamic8, which the format does not know.</summary>
    internal static string SafetensorsName(this DType type) => type switch
    {
        DType.Float32 => "F32",
        DType.BFloat16 => "BF16",
        DType.Float16 => "F16",
        DType.UInt16 => "U16",
        DType.Dynamic8 => "U8",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>The types whose bits (1 &lt;&lt; type) are set.</summary>
    internal static IReadOnlyList<DType> InMask(uint mask) =>
        Array.AsReadOnly([.. Described.Value.Keys.Where(type => (int)type < 32 && (mask & (1u << (int)type)) != 0).Order()]);

    private static nopt_dtype_info Info(this DType type) =>
        Described.Value.TryGetValue(type, out nopt_dtype_info info)
            ? info
            : throw new ArgumentOutOfRangeException(nameof(type), type, $"There is no element type {type}.");

    private static Dictionary<DType, nopt_dtype_info> Read()
    {
        // The type of remainders is no native one: they are the lower halves of numbers.
        Dictionary<DType, nopt_dtype_info> infos = new()
        {
            [DType.UInt16] = new() { block_elements = 1, element_bytes = sizeof(ushort), alignment = sizeof(ushort) },
        };
        for (int i = 0; i < NativeMethods.nopt_dtype_count(); i++)
        {
            nopt_dtype_info info = new() { struct_size = (uint)sizeof(nopt_dtype_info) };
            NativeError.ThrowIfFailed(NativeMethods.nopt_dtype_get_info(i, &info));
            infos.Add((DType)info.dtype, info);
        }

        return infos;
    }
}
