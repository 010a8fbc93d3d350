using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Replay;

/// <summary>Runs the optimizer of a trace over its steps, through the API that everybody uses.</summary>
internal static class TraceReplayer
{
    // A trace's own tolerance does not cover the unit direction and the curvature.
    private static readonly Tolerance DirectionTolerance = new(0, 2e-5);
    private static readonly Tolerance CurvatureTolerance = new(0, 1e-3);

    /// <summary>Replays a trace and compares what comes out after every step with what is expected.</summary>
    /// <exception cref="UnsupportedTraceException">It needs what NativeOpt does not do.</exception>
    /// <exception cref="TraceFormatException">An option is out of range, or a state does not fit the options.</exception>
    public static WorstRatio Replay(Trace trace, Device device)
    {
        TraceOptimizerFactory.RequireSupported(trace.Optimizer);
        using var tensors = new TraceTensors(trace.Tensors, trace.Optimizer.Preset.Rule, device);
        using Optimizer optimizer = TraceOptimizerFactory.Create(trace.Optimizer, tensors.Set);
        RequireStates(trace, optimizer);
        using DimerOptimizer? dimer = trace.Dimer is null ? null : CreateDimer(trace.Dimer, optimizer, trace.Tensors);
        var worst = new WorstRatio();
        for (int step = 0; step < trace.Steps.Count; step++)
        {
            TraceStep expected = trace.Steps[step];
            tensors.SetInputs(optimizer, expected.Inputs);
            ComputeGradients();
            if (dimer is null)
            {
                optimizer.Step();
                if (!OptimizerPresets.IsOneCall(trace.Optimizer.Preset))
                {
                    Swats.SwitchAfterStep(optimizer, tensors.Gradients);
                }
            }
            else
            {
                while (dimer.NeedsDisplacedGradient)
                {
                    dimer.Displace();
                    ComputeGradients();
                }

                dimer.Step();
            }

            tensors.ReadParameters();
            for (int i = 0; i < tensors.Parameters.Length; i++)
            {
                worst.Compare(
                    step + 1, $"tensor {i}", tensors.Parameters[i], expected.Parameters[i], trace.Tolerance);
            }

            CompareStates(optimizer, trace, step, worst);
            if (dimer is not null)
            {
                CompareDimer(dimer, expected, step + 1, worst);
            }

            void ComputeGradients()
            {
                tensors.ReadParameters();
                tensors.WriteGradients(expected.Gradients ?? Gradients(trace.Problem!, tensors.Parameters));
            }
        }

        return worst;
    }

    /// <exception cref="TraceFormatException">An option is out of range, or the direction is 0.</exception>
    private static DimerOptimizer CreateDimer(TraceDimer trace, Optimizer optimizer, IReadOnlyList<TraceTensor> tensors)
    {
        DimerOptimizer? dimer = null;
        try
        {
            dimer = new DimerOptimizer(
                optimizer,
                new DimerOptions
                {
                    Scope = trace.PerTensor ? DimerScope.PerTensor : DimerScope.Global,
                    Interval = trace.Interval,
                    RotationsPerUpdate = trace.Rotations,
                    Displacement = trace.Displacement,
                    RotationRate = trace.RotationRate,
                    Alpha = trace.Alpha,
                    Force = trace.ForcePerDisplacement ? DimerForce.PerDisplacement : DimerForce.Difference,
                    Rotation = trace.TowardMaximum ? DimerRotation.MaximumCurvature : DimerRotation.MinimumCurvature,
                    Angle = trace.Angle,
                    Correction = trace.Escape ? DimerCorrection.Escape : DimerCorrection.Published,
                });
            dimer.SetDirection([.. tensors.Select(static tensor => tensor.Direction!)]);
            return dimer;
        }
        catch (ArgumentException error)
        {
            dimer?.Dispose();
            throw new TraceFormatException($"dimer: {error.Message}");
        }
    }

    /// <exception cref="TraceFormatException">The trace has a state that the rule does not have with its options.</exception>
    private static void RequireStates(Trace trace, Optimizer optimizer)
    {
        string[] ofRule = [.. trace.Optimizer.Preset.Rule.States.Select(static state => state.Name)];
        string? missing = trace.Steps.SelectMany(static step => step.States.Keys).Intersect(ofRule)
            .Except(optimizer.StateRoles.Select(static role => role.Name)).FirstOrDefault();
        if (missing is not null)
        {
            throw new TraceFormatException($"states: {missing} is there, but the rule has no such state with these options");
        }
    }

    private static void CompareStates(Optimizer optimizer, Trace trace, int step, WorstRatio worst)
    {
        foreach ((string name, double[][] expected) in trace.Steps[step].States)
        {
            bool isScalar = trace.Optimizer.Preset.Rule.RunningScalars.Any(scalar => scalar.Name == name);
            for (int i = 0; i < expected.Length; i++)
            {
                if (isScalar)
                {
                    double[] running = new double[expected.Length];
                    optimizer.GetRunningScalars(name, running);
                    worst.Compare(step + 1, $"{name} {i}", running[i], expected[i][0], trace.Tolerance);
                    continue;
                }

                float[] state = new float[expected[i].Length];
                optimizer.CopyStateTo(name, i, state);
                worst.Compare(step + 1, $"{name} {i}", state, expected[i], trace.Tolerance);
            }
        }
    }

    private static void CompareDimer(DimerOptimizer dimer, TraceStep expected, int step, WorstRatio worst)
    {
        for (int i = 0; i < expected.Directions!.Count; i++)
        {
            float[] direction = new float[expected.Directions[i].Length];
            dimer.GetDirection(i).CopyTo(direction);
            worst.Compare(step, $"direction {i}", direction, expected.Directions[i], DirectionTolerance);
        }

        for (int scope = 0; scope < dimer.ScopeCount; scope++)
        {
            if (dimer.ScopeCount > 1 && expected.Directions[scope].Length == 0)
            {
                continue; // no element, no curvature
            }

            worst.Compare(
                step, $"curvature {scope}", dimer.GetStatus(scope).Curvature, expected.Curvature![scope], CurvatureTolerance);
        }
    }

    /// <summary>The gradient Hx of a quadratic, computed in double at the parameters as they are.</summary>
    private static float[][] Gradients(TraceProblem problem, float[][] parameters)
    {
        float[] x = [.. parameters.SelectMany(static tensor => tensor)];
        int row = 0;
        return [.. parameters.Select(tensor => tensor.Select(_ => Row(row++)).ToArray())];

        float Row(int i)
        {
            double sum = 0;
            for (int j = 0; j < x.Length; j++)
            {
                sum += problem.Hessian[(i * x.Length) + j] * x[j];
            }

            return (float)sum;
        }
    }
}
