using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What one direction of a dimer spans.</summary>
public enum DimerScope
{
    /// <summary>All tensors together, as the paper has it.</summary>
    Global = 0,

    /// <summary>Each tensor has its own direction and curvature, as the authors' code has it.</summary>
    PerTensor = 1,
}

/// <summary>Where a dimer's rotations lead.</summary>
public enum DimerRotation
{
    /// <summary>Toward the smallest curvature of the loss, the paper's stated aim.</summary>
    MinimumCurvature = 0,

    /// <summary>Toward the largest curvature, what the authors' code does.</summary>
    MaximumCurvature = 1,
}

/// <summary>What <see cref="DimerOptions.RotationRate"/> multiplies.</summary>
public enum DimerForce
{
    /// <summary>
    /// The difference of the two gradients, as published. It shrinks with the displacement: with the published settings the
    /// direction hardly turns in a thousand rotations.
    /// </summary>
    Difference = 0,

    /// <summary>The difference of the two gradients divided by the displacement: the Hessian times the direction.</summary>
    PerDisplacement = 1,
}

/// <summary>How far a dimer's rotation turns.</summary>
public enum RotationAngle
{
    /// <summary>By <see cref="DimerOptions.RotationRate"/> times the force, as published.</summary>
    FixedRate = 0,

    /// <summary>
    /// To the smallest (or largest) curvature in the plane of the direction and the force (Heyden et al. 2005; Kästner and
    /// Sherwood 2008). Costs one more gradient for each update and reads neither the rate nor the force.
    /// </summary>
    Optimal = 1,

    /// <summary>
    /// To the smallest (or largest) curvature in the plane of the direction and a search direction: the force, and as much of
    /// the last turn as makes both conjugate, as in conjugate gradients for the outermost eigenvalue (Bradbury and Fletcher
    /// 1966). Costs the gradients of <see cref="Optimal"/> and one more buffer, and learns a direction in a fraction of the
    /// gradients; see docs/dimer.md.
    /// </summary>
    Conjugate = 2,
}

/// <summary>What becomes of the gradient along a dimer's direction N̂.</summary>
public enum DimerCorrection
{
    /// <summary>
    /// g − α(g·N̂)N̂, as published. α = 1 ignores the direction; α > 1 reverses the gradient along it, so that the parameters
    /// are drawn to a saddle point along the very direction in which they could leave it.
    /// </summary>
    Published = 0,

    /// <summary>g + α(g·N̂)N̂ where the curvature is negative, g elsewhere: away from a saddle point faster.</summary>
    Escape = 1,
}

/// <summary>What becomes of a step whose loss at displaced parameters is infinite or NaN.</summary>
public enum DimerFallback
{
    /// <summary>
    /// The update of the direction is given up, and the step is the optimizer's own, with the gradient at the parameters as they
    /// were, uncorrected.
    /// </summary>
    StepWithoutUpdate = 0,

    /// <summary>No step is taken; parameters and states are as they were.</summary>
    NoStep = 1,
}

/// <summary>Options of <see cref="DimerOptimizer"/>; the defaults are the paper's (arXiv 2507.19968).</summary>
/// <remarks>
/// The paper's settings hardly turn the direction, and its correction draws toward saddle points; see
/// <see cref="Recommended"/> and docs/dimer.md for measurements.
/// </remarks>
public sealed record DimerOptions
{
    /// <summary>What one direction spans; fixed for a <see cref="DimerOptimizer"/>.</summary>
    public DimerScope Scope { get; init; } = DimerScope.Global;

    /// <summary>Steps from one update of the direction to the next, at least 1; 10 by default. The first step updates.</summary>
    public int Interval { get; init; } = 10;

    /// <summary>Rotations in an update, at least 1, the default. Each needs one more gradient.</summary>
    public int RotationsPerUpdate { get; init; } = 1;

    /// <summary>
    /// The distance ΔR at which the second gradient is taken, above 0; null, the default: 10 times the learning rate, that of
    /// group 0, and at least 1e-4, so that a learning rate that is 0 or begins there displaces, too.
    /// </summary>
    public double? Displacement { get; init; }

    /// <summary>The length η of a rotation with <see cref="RotationAngle.FixedRate"/>, finite and >= 0; 1e-3 by default.</summary>
    public double RotationRate { get; init; } = 1e-3;

    /// <summary>The weight α of the correction, finite and >= 0; 5 by default.</summary>
    public double Alpha { get; init; } = 5;

    /// <summary>
    /// α from the curvature C that the last update before the step has measured, in place of <see cref="Alpha"/>, which holds as long
    /// as none was measured; null, the default: always <see cref="Alpha"/>. See <see cref="NegativeCurvatureAlpha"/>.
    /// </summary>
    /// <remarks>
    /// What it gives must be finite and >= 0, or the step throws. It must depend on C alone for a resumed run to have the same bits, and
    /// is for <see cref="DimerScope.Global"/>, since there is one α for all tensors. On CUDA the step after an update waits for
    /// the update's end, which cannot be captured into a graph.
    /// </remarks>
    public Func<double, double>? AlphaSchedule { get; init; }

    /// <summary>
    /// Lets the dimer wait for spikes of the loss: steps are the optimizer's own, with its bits and its cost, and the dimer is active for
    /// some steps after a spike begins. Null, the default: it is active in every step. Losses come from the closure, or from
    /// <see cref="DimerOptimizer.ReportLoss"/>.
    /// </summary>
    /// <remarks>The host decides this for each step, so that a captured CUDA graph has the step of its capture.</remarks>
    public SpikeActivation? ActivateOnSpike { get; init; }

    /// <summary>What <see cref="RotationRate"/> multiplies.</summary>
    public DimerForce Force { get; init; } = DimerForce.Difference;

    /// <summary>Where rotations lead.</summary>
    public DimerRotation Rotation { get; init; } = DimerRotation.MinimumCurvature;

    /// <summary>How far a rotation turns.</summary>
    public RotationAngle Angle { get; init; } = RotationAngle.FixedRate;

    /// <summary>What becomes of the gradient along the direction.</summary>
    public DimerCorrection Correction { get; init; } = DimerCorrection.Published;

    /// <summary>
    /// What becomes of a step whose loss at displaced parameters is not finite, in
    /// <see cref="DimerOptimizer.Step(Func{float}, DeviceStream, CancellationToken)"/>. See <see cref="DimerOptimizer.LostUpdates"/>.
    /// </summary>
    public DimerFallback Fallback { get; init; } = DimerFallback.StepWithoutUpdate;

    /// <summary>Selects the first, random direction: the same one on every device.</summary>
    public ulong Seed { get; init; }

    /// <summary>
    /// What measurements found to work: <see cref="RotationAngle.Optimal"/> rotations, which need no rate, the
    /// <see cref="DimerCorrection.Escape"/> correction with α = 2, which does nothing unless the curvature is negative, an
    /// interval of 20 and a displacement of 1e-3.
    /// </summary>
    /// <remarks>
    /// Over α 0.5 to 10, intervals 1 to 50, 1 or 3 rotations and displacements from 1e-4 to 10 learning rates it cost the
    /// fewest gradients to leave saddle points; see docs/dimer.md, also for where no dimer pays.
    /// </remarks>
    public static DimerOptions Recommended { get; } = new()
    {
        Angle = RotationAngle.Optimal,
        Correction = DimerCorrection.Escape,
        Force = DimerForce.PerDisplacement,
        Alpha = 2,
        Interval = 20,
        Displacement = 1e-3,
    };

    /// <summary>
    /// An <see cref="AlphaSchedule"/>: α = maximum·max(0, −C)/(|C| + scale), which is 0 where the curvature C is not negative, half
    /// of the maximum at C = −scale, and nears the maximum beyond.
    /// </summary>
    /// <param name="maximum">The largest α, finite and >= 0.</param>
    /// <param name="scale">The curvature, without its sign, at which α is half of the maximum; finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range.</exception>
    public static Func<double, double> NegativeCurvatureAlpha(double maximum, double scale)
    {
        Check.AtLeastZero(maximum, nameof(maximum), nameof(maximum));
        Check.Positive(scale, nameof(scale), nameof(scale));
        return curvature => maximum * Math.Max(0, -curvature) / (Math.Abs(curvature) + scale);
    }

    /// <summary>Gradients at displaced parameters that an update needs.</summary>
    internal long DisplacedGradients => RotationsPerUpdate + (Angle == RotationAngle.FixedRate ? 0 : 1L);

    /// <summary>The buffers that updates need, and what they are made of.</summary>
    /// <param name="parameters">What the parameters are made of.</param>
    /// <param name="gradients">What the gradients are made of.</param>
    internal IEnumerable<(nopt_role Role, BufferLayout Layout)> Layouts(BufferLayout parameters, BufferLayout gradients)
    {
        BufferLayout direction = parameters.With(DType.Float32);
        yield return (nopt_role.NOPT_ROLE_DIRECTION, direction);
        yield return (nopt_role.NOPT_ROLE_PARAM_BACKUP, parameters);
        yield return (nopt_role.NOPT_ROLE_GRAD_BACKUP, gradients);
        if (Angle != RotationAngle.FixedRate)
        {
            yield return (nopt_role.NOPT_ROLE_ROTATION_DIRECTION, direction);
        }

        if (Angle == RotationAngle.Conjugate)
        {
            yield return (nopt_role.NOPT_ROLE_GRAD_CHANGE, direction);
        }
    }

    internal void Validate(string paramName)
    {
        Check.Defined(Scope, nameof(Scope), paramName);
        Check.Defined(Force, nameof(Force), paramName);
        Check.Defined(Rotation, nameof(Rotation), paramName);
        Check.Defined(Angle, nameof(Angle), paramName);
        Check.Defined(Correction, nameof(Correction), paramName);
        Check.Defined(Fallback, nameof(Fallback), paramName);
        Check.AtLeastOne(Interval, nameof(Interval), paramName);
        Check.AtLeastOne(RotationsPerUpdate, nameof(RotationsPerUpdate), paramName);
        Check.Positive(Displacement ?? 1, nameof(Displacement), paramName);
        Check.AtLeastZero(RotationRate, nameof(RotationRate), paramName);
        Check.AtLeastZero(Alpha, nameof(Alpha), paramName);
        ActivateOnSpike?.Validate(paramName);
        if (AlphaSchedule is not null && Scope != DimerScope.Global)
        {
            throw new ArgumentException(
                $"AlphaSchedule is for one curvature, but Scope is {Scope}; leave it out, or use {DimerScope.Global}.", paramName);
        }
    }

    internal unsafe nopt_dimer_options ToNative(double displacement, double alpha) => new()
    {
        struct_size = (uint)sizeof(nopt_dimer_options),
        rotation = (int)Rotation,
        force = (int)Force,
        angle = (int)Angle,
        correction = (int)Correction,
        displacement = displacement,
        rotation_rate = RotationRate,
        alpha = alpha,
    };
}
