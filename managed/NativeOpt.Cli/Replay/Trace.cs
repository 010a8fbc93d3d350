using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Replay;

/// <summary>One run of one optimizer on a few small tensors; docs/trace-format.md explains each field.</summary>
internal sealed record Trace(
    string Source,
    TraceOptimizer Optimizer,
    TraceDimer? Dimer,
    TraceProblem? Problem,
    IReadOnlyList<TraceTensor> Tensors,
    IReadOnlyList<TraceStep> Steps,
    Tolerance Tolerance);

/// <summary>A rule with the options that the file gives.</summary>
internal sealed record TraceOptimizer(OptimizerPreset Preset)
{
    /// <summary>An option that the rule does not have; null if it can do all of them.</summary>
    public string? Unsupported { get; init; }
}

/// <summary>A tensor before the first step.</summary>
internal sealed record TraceTensor(float[] Parameter, float[]? Direction);

/// <summary>What goes into one step and what must come out, an array for each tensor.</summary>
internal sealed record TraceStep(
    IReadOnlyList<float[]>? Gradients,
    IReadOnlyList<double[]> Parameters,
    IReadOnlyList<double[]>? Directions,
    double[]? Curvature)
{
    /// <summary>The inputs of the rule that the step is given, by name.</summary>
    public IReadOnlyDictionary<string, float[][]> Inputs { get; init; } = new Dictionary<string, float[][]>();

    /// <summary>
    /// The states and the running scalars that are compared after the step, by name: an array for each tensor, which for a
    /// scalar has one number.
    /// </summary>
    public IReadOnlyDictionary<string, double[][]> States { get; init; } = new Dictionary<string, double[][]>();
}

/// <summary>How far a result may be from what is expected: absolute + relative * |expected|.</summary>
internal readonly record struct Tolerance(double Relative, double Absolute);

/// <summary>A loss xᵀHx/2 over all tensors, one after another: the gradient is Hx.</summary>
internal sealed record TraceProblem(double[] Hessian);

/// <summary>A dimer around the rule.</summary>
internal sealed record TraceDimer(
    bool PerTensor,
    int Interval,
    double Displacement,
    double RotationRate,
    double Alpha,
    bool ForcePerDisplacement,
    bool TowardMaximum)
{
    public bool Escape { get; init; }

    public RotationAngle Angle { get; init; }

    public int Rotations { get; init; } = 1;
}
