using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>What a case's dimer is made with. Forces and senses of rotation change from step to step.</summary>
internal sealed record DimerSetting(nopt_dimer_scope Scope, nopt_dimer_angle Angle, nopt_dimer_correction Correction)
{
    /// <summary>Both scopes, all angles, both corrections.</summary>
    public static IReadOnlyList<DimerSetting> All { get; } =
    [
        .. from scope in Enum.GetValues<nopt_dimer_scope>()
           from angle in Enum.GetValues<nopt_dimer_angle>()
           from correction in Enum.GetValues<nopt_dimer_correction>()
           select new DimerSetting(scope, angle, correction),
    ];

    /// <summary>Whether an update measures the curvature in a plane, which takes a rotation more.</summary>
    public bool HasPlane => Angle != nopt_dimer_angle.NOPT_DIMER_ANGLE_FIXED_RATE;

    public string Group => $"dimer {NativeCall.NameOf(Scope, "NOPT_DIMER_SCOPE_")}";

    public string Name =>
        $"{Group} {NativeCall.NameOf(Angle, "NOPT_DIMER_ANGLE_")} {NativeCall.NameOf(Correction, "NOPT_DIMER_CORRECTION_")}";

    /// <summary>The options of a step, counted from 0.</summary>
    public unsafe nopt_dimer_options OptionsAt(int step)
    {
        nopt_dimer_options options = new() { struct_size = (uint)sizeof(nopt_dimer_options) };
        NativeCall.Require(NativeMethods.nopt_dimer_get_defaults(&options), "nopt_dimer_get_defaults");
        options.angle = (int)Angle;
        options.correction = (int)Correction;
        options.force = (int)(step % 2 == 0
            ? nopt_dimer_force.NOPT_DIMER_FORCE_DIFFERENCE : nopt_dimer_force.NOPT_DIMER_FORCE_PER_DISPLACEMENT);
        options.rotation = (int)(step % 3 == 0
            ? nopt_dimer_rotation.NOPT_DIMER_ROTATION_MINIMUM_CURVATURE
            : nopt_dimer_rotation.NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE);
        options.rotation_rate = 0.3; // turns far enough to be seen
        return options;
    }
}
