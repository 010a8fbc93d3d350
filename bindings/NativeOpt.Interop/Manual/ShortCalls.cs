using System.Runtime.InteropServices;

namespace NativeOpt.Interop;

/// <summary>
/// Functions of <see cref="NativeMethods"/> without the runtime's transition, for calls that take less than a microsecond: the
/// garbage collector waits for them.
/// </summary>
public static unsafe class ShortCalls
{
    /// <summary>For small sets on the CPU. (Zen 3, one element: 10 of Adam's 90 to 110 ns.)</summary>
    [DllImport("nativeopt", CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    [SuppressGCTransition]
    public static extern nopt_status nopt_optimizer_step(
        nopt_optimizer* optimizer, nopt_hyperparams* hyperparams, void* stream);
}
