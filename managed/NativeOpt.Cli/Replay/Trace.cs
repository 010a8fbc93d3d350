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

/// <summary>A rule with those options that the file gives.</summary>
internal sealed record TraceOptimizer(string Rule, double LearningRate)
{
    public (double Beta1, double Beta2)? Betas { get; init; }

    public double? Epsilon { get; init; }

    public double? WeightDecay { get; init; }

    public bool? Decoupled { get; init; }

    public double? SwitchingRate { get; init; }

    public bool? Amsgrad { get; init; }

    public bool? Maximize { get; init; }

    public double? Momentum { get; init; }

    public double? MomentumDecay { get; init; }

    public double? Dampening { get; init; }

    public bool? Nesterov { get; init; }

    public bool? InverseEpsilon { get; init; }
}

/// <summary>A tensor before the first step.</summary>
internal sealed record TraceTensor(float[] Parameter, float[]? Direction);

/// <summary>What goes into one step and what must come out, an array for each tensor.</summary>
internal sealed record TraceStep(
    IReadOnlyList<float[]>? Gradients,
    IReadOnlyList<double[]> Parameters,
    IReadOnlyList<double[]>? Directions,
    double[]? Curvature);

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

    public bool OptimalAngle { get; init; }

    public int Rotations { get; init; } = 1;
}
