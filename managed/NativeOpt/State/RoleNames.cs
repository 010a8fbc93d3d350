using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What state files and people call the buffers.</summary>
internal static class RoleNames
{
    private const string Prefix = "NOPT_ROLE_";

    /// <summary>The C header's name without its prefix: "exp_avg".</summary>
    public static string Name(this nopt_role role) => role.ToString()[Prefix.Length..].ToLowerInvariant();
}
