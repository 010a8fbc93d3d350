using System.Runtime.InteropServices;
using NativeOpt.Cli.Selftest;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Optimizers;

/// <summary>A role that is not a state or an input of a rule, as the library describes it.</summary>
/// <param name="Role">The role.</param>
/// <param name="Name">What the library calls it.</param>
/// <param name="DTypes">The element types that it may have.</param>
internal sealed record LibraryRole(nopt_role Role, string Name, IReadOnlyList<DType> DTypes);

/// <summary>What the library says of roles and of element types.</summary>
internal static unsafe class LibraryRoles
{
    private static readonly Lazy<IReadOnlyList<LibraryRole>> LazyAll = new(Read);

    public static IReadOnlyList<LibraryRole> All => LazyAll.Value;

    /// <summary>The element types that parameters may have.</summary>
    public static IReadOnlyList<DType> ParameterTypes => Get(nopt_role.NOPT_ROLE_PARAM).DTypes;

    /// <summary>The element types that a state of any rule may have.</summary>
    public static IReadOnlyList<DType> StateTypes =>
        [.. Rule.All.SelectMany(static rule => rule.States).SelectMany(static state => state.DTypes).Distinct().Order()];

    public static LibraryRole Get(nopt_role role) => All.Single(known => known.Role == role);

    private static LibraryRole[] Read()
    {
        LibraryRole[] roles = new LibraryRole[NativeMethods.nopt_role_count()];
        for (int i = 0; i < roles.Length; i++)
        {
            nopt_role_info info = new() { struct_size = (uint)sizeof(nopt_role_info) };
            NativeCall.Require(NativeMethods.nopt_role_get_info(i, &info), "nopt_role_get_info");
            uint mask = info.dtypes;
            roles[i] = new LibraryRole(
                (nopt_role)info.role,
                Marshal.PtrToStringUTF8((nint)info.name)!,
                [.. Enumerable.Range(0, 32).Where(type => (mask & (1u << type)) != 0).Select(static type => (DType)type)]);
        }

        return roles;
    }
}
