using NativeOpt.Cli.Selftest;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Optimizers;

/// <summary>What the library says of how an element type lies in memory.</summary>
/// <param name="BlockElements">The elements of a block; 1 where each element stands for itself.</param>
/// <param name="BlockExtraBytes">The bytes that a block begins with before its elements.</param>
/// <param name="ElementBytes">The bytes of an element.</param>
/// <param name="Alignment">What addresses must be a multiple of, in bytes.</param>
internal readonly record struct LibraryType(int BlockElements, int BlockExtraBytes, int ElementBytes, int Alignment);

/// <summary>The element types of the library, and that of remainders, which are parts of numbers.</summary>
internal static unsafe class LibraryTypes
{
    private static readonly Lazy<Dictionary<DType, LibraryType>> All = new(Read);

    public static LibraryType Get(DType type) => All.Value[type];

    private static Dictionary<DType, LibraryType> Read()
    {
        Dictionary<DType, LibraryType> all = new() { [DType.UInt16] = new(1, 0, sizeof(ushort), sizeof(ushort)) };
        for (int i = 0; i < NativeMethods.nopt_dtype_count(); i++)
        {
            nopt_dtype_info info = new() { struct_size = (uint)sizeof(nopt_dtype_info) };
            NativeCall.Require(NativeMethods.nopt_dtype_get_info(i, &info), "nopt_dtype_get_info");
            all.Add(
                (DType)info.dtype,
                new LibraryType(info.block_elements, info.block_extra_bytes, info.element_bytes, info.alignment));
        }

        return all;
    }
}
