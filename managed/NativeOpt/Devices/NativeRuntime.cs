using System.Text;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>The native library that this process loaded: what it is, and its process-wide settings.</summary>
/// <remarks>
/// Every member loads the library if nothing did before: <see cref="DllNotFoundException"/> if it cannot be found,
/// <see cref="BadImageFormatException"/> if it does not fit this assembly.
/// </remarks>
public static unsafe class NativeRuntime
{
    /// <summary>The library's version, "major.minor.patch".</summary>
    public static string Version => NativeError.Text(NativeMethods.nopt_version());

    /// <summary>The version of its binary interface, the one that this assembly needs.</summary>
    public static int AbiVersion => (int)NativeMethods.nopt_abi_version();

    /// <summary>What the build contains, one line: compiler, instruction sets, CUDA.</summary>
    public static string BuildInfo => NativeError.Text(NativeMethods.nopt_build_info());

    /// <summary>The file that was loaded, or the plain name if .NET or the operating system found it.</summary>
    public static string LoadedFrom
    {
        get
        {
            NativeLibraryLoader.EnsureLoaded();
            return NativeLibraryLoader.LoadedFrom;
        }
    }

    /// <summary>The names of the update rules that are compiled in; see <see cref="Rule.All"/> for what they are.</summary>
    public static IReadOnlyList<string> Rules => [.. Rule.All.Select(static rule => rule.Name)];

    /// <summary>The instruction sets that the CPU backend was compiled for, the most portable first.</summary>
    public static IReadOnlyList<CpuInstructionSetInfo> CpuInstructionSets
    {
        get
        {
            CpuInstructionSetInfo[] all = new CpuInstructionSetInfo[NativeMethods.nopt_cpu_isa_count()];
            for (int i = 0; i < all.Length; i++)
            {
                nopt_cpu_isa_info info = new() { struct_size = (uint)sizeof(nopt_cpu_isa_info) };
                NativeError.ThrowIfFailed(NativeMethods.nopt_cpu_isa_get_info(i, &info));
                all[i] = new CpuInstructionSetInfo(
                    NativeError.Text((sbyte*)&info.name), info.supported != 0, info.selected != 0);
            }

            return all;
        }
    }

    /// <summary>
    /// The name of the instruction set of CPU steps, for the whole process. At start it is the widest that the processor
    /// supports, or the one that the environment variable NATIVEOPT_CPU_ISA names. Results have the same bits with each.
    /// </summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    /// <exception cref="ArgumentException">No instruction set of this name is compiled in.</exception>
    /// <exception cref="NativeOptException">The processor does not support it (<see cref="NativeOptStatus.Unavailable"/>).</exception>
    public static string CpuInstructionSet
    {
        get => CpuInstructionSets.Single(set => set.IsSelected).Name;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            fixed (byte* name = Encoding.UTF8.GetBytes(value + '\0'))
            {
                NativeError.ThrowIfFailed(NativeMethods.nopt_cpu_set_isa((sbyte*)name));
            }
        }
    }

    /// <summary>
    /// The bound on threads (the calling one included) of CPU steps, for the whole process, 1 to 1024. At start it is
    /// <see cref="CpuCount"/> or, if that is less, <see cref="CpuQuota"/>, where a part of a processor counts as one. The
    /// environment variable NATIVEOPT_NUM_THREADS sets another one. Results have the same bits with any number.
    /// </summary>
    /// <exception cref="ArgumentException">The value is out of range.</exception>
    public static int CpuThreads
    {
        get
        {
            int threads;
            NativeError.ThrowIfFailed(NativeMethods.nopt_cpu_get_num_threads(&threads));
            return threads;
        }

        set => NativeError.ThrowIfFailed(NativeMethods.nopt_cpu_set_num_threads(value));
    }

    /// <summary>
    /// The number of processors in the affinity mask of the process, at least 1, as it was when the library first asked;
    /// outside of Linux the number of those that the machine has.
    /// </summary>
    public static int CpuCount => CpuProcessors().Available;

    /// <summary>
    /// How many processors' worth of time the control groups of Linux (cgroups, versions 1 and 2) grant the process, as it
    /// was when the library first asked: above 0, and positive infinity without a quota.
    /// </summary>
    public static double CpuQuota => CpuProcessors().Quota;

    private static (int Available, double Quota) CpuProcessors()
    {
        int available;
        double quota;
        NativeError.ThrowIfFailed(NativeMethods.nopt_cpu_get_processors(&available, &quota));
        return (available, quota);
    }
}
