using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using global::TorchSharp;

namespace NativeOpt.TorchSharp;

/// <summary>
/// The functions of LibTorchSharp that steps call. TorchSharp's public members do the same, but each makes an object for every
/// tensor. All take handles of tensors (<see cref="torch.Tensor.Handle"/>), which the caller keeps alive.
/// </summary>
/// <remarks>
/// They take well under a microsecond, call nothing back and take no locks, so that they may run without a transition of the
/// garbage collector's.
/// </remarks>
internal static unsafe class LibTorch
{
    private const string Library = "LibTorchSharp";

#pragma warning disable CA2255 // a resolver must be in place before the first P/Invoke
    /// <summary>Has this assembly find the library that TorchSharp itself loads.</summary>
    [ModuleInitializer]
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(
            typeof(LibTorch).Assembly,
            static (name, _, _) =>
                name == Library && NativeLibrary.TryLoad(name, typeof(torch).Assembly, null, out nint handle) ? handle : 0);
#pragma warning restore CA2255

    /// <summary>The address of the first element; 0 if there are no elements, or after an error.</summary>
    [DllImport(Library), SuppressGCTransition]
    public static extern nint THSTensor_data(nint tensor);

    /// <summary>A new handle of the gradient, to be disposed of; 0 if there is none.</summary>
    [DllImport(Library), SuppressGCTransition]
    public static extern nint THSTensor_grad(nint tensor);

    [DllImport(Library), SuppressGCTransition]
    public static extern void THSTensor_dispose(nint tensor);

    /// <summary>1 if the elements lie in the order of the dimensions, without gaps; 0 if not, or after an error.</summary>
    [DllImport(Library), SuppressGCTransition]
    public static extern byte THSTensor_is_contiguous(nint tensor);

    /// <summary>The element type, a <see cref="torch.ScalarType"/>.</summary>
    [DllImport(Library), SuppressGCTransition]
    public static extern sbyte THSTensor_type(nint tensor);

    [DllImport(Library), SuppressGCTransition]
    public static extern long THSTensor_numel(nint tensor);

    [DllImport(Library), SuppressGCTransition]
    public static extern long THSTensor_ndimension(nint tensor);

    [DllImport(Library), SuppressGCTransition]
    public static extern long THSTensor_size(nint tensor, long dimension);

    [DllImport(Library), SuppressGCTransition]
    public static extern long THSTensor_stride(nint tensor, long dimension);

    /// <summary>Forgets the error of this thread's last failed call, so that TorchSharp does not report it at its next one.</summary>
    public static void ClearError() => _ = THSTorch_get_and_reset_last_err();

    [DllImport(Library)]
    private static extern nint THSTorch_get_and_reset_last_err();
}
