using System.Runtime.InteropServices;

namespace NativeOpt.Interop;

public static unsafe partial class NativeMethods
{
    /// <summary>
    /// <c>nopt_optimizer_step</c> without the runtime's transition, for sets on the CPU so small that the call takes less
    /// than a microsecond: the garbage collector waits for it. (Zen 3, one element: 10 of Adam's 90 to 110 ns.)
    /// </summary>
    [DllImport("nativeopt", EntryPoint = nameof(nopt_optimizer_step), CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    [SuppressGCTransition]
    public static extern nopt_status nopt_optimizer_step_short(
        nopt_optimizer* optimizer, nopt_hyperparams* hyperparams, void* stream);
}
