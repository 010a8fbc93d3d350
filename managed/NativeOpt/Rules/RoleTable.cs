using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>The roles that are not states or inputs of a rule, as the native library describes them.</summary>
internal static unsafe class RoleTable
{
    private static readonly Lazy<(nopt_role Role, string Name)[]> All = new(Read);

    /// <summary>The native library's name of a role, for example "direction".</summary>
    public static string Name(nopt_role role) => Array.Find(All.Value, known => known.Role == role).Name;

    private static (nopt_role Role, string Name)[] Read()
    {
        (nopt_role, string)[] roles = new (nopt_role, string)[NativeMethods.nopt_role_count()];
        for (int i = 0; i < roles.Length; i++)
        {
            nopt_role_info info = new() { struct_size = (uint)sizeof(nopt_role_info) };
            NativeError.ThrowIfFailed(NativeMethods.nopt_role_get_info(i, &info));
            roles[i] = ((nopt_role)info.role, NativeError.Text(info.name));
        }

        return roles;
    }
}
