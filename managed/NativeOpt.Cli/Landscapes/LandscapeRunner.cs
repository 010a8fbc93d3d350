using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Landscapes;

/// <summary>
/// Runs an optimizer on a landscape. The two float32 parameters are the point in half widths of the square, and the gradient is in
/// mean gradients, so that learning rates mean about the same on every landscape.
/// </summary>
internal sealed class LandscapeRunner : IDisposable
{
    // The input of the rules that take an estimate of the Hessian's diagonal.
    private const string HessianInput = "hessian";

    private readonly Landscape _landscape;
    private readonly double _noise;
    private readonly ulong _seed;
    private readonly float[] _parameters;
    private readonly float[] _gradients = new float[2];
    private readonly ParameterSet _set;
    private readonly DeviceBuffer<float> _hessian = new(Device.Cpu, 2);

    /// <param name="landscape">The landscape.</param>
    /// <param name="start">Where the run begins.</param>
    /// <param name="noise">The standard deviation of the noise in each component of the gradient, in mean gradients.</param>
    /// <param name="seed">Selects the noise, and a dimer's first direction.</param>
    public LandscapeRunner(Landscape landscape, (double X, double Y) start, double noise, ulong seed)
    {
        (_landscape, _noise, _seed) = (landscape, noise, seed);
        _parameters = [(float)(start.X / landscape.HalfWidth), (float)(start.Y / landscape.HalfWidth)];
        _set = ParameterSet.FromArrays([_parameters], [_gradients]);
    }

    private (double X, double Y) Point => (_parameters[0] * _landscape.HalfWidth, _parameters[1] * _landscape.HalfWidth);

    /// <summary>One run, from where the parameters are.</summary>
    /// <param name="recipe">The optimizer.</param>
    /// <param name="learningRate">Its learning rate.</param>
    /// <param name="steps">The steps to take.</param>
    /// <param name="stop">Ends the run.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public LandscapeRun Run(OptimizerRecipe recipe, double learningRate, int steps, CancellationToken stop)
    {
        OptimizerRecipe own = recipe with { Preset = recipe.Preset.With(OptimizerPresets.LearningRate, learningRate) };
        using Optimizer optimizer = own.Create(_set, OptimizerRecipe.SwitchingPerRun / steps, TrainingPrecision.Float32);
        using DimerOptimizer? dimer =
            recipe.HasDimer ? new DimerOptimizer(optimizer, DimerOptions.Recommended with { Seed = _seed }) : null;
        bool takesHessian = recipe.Preset.Rule.Inputs.Any(static input => input.Name == HessianInput);
        if (takesHessian)
        {
            optimizer.SetInput(HessianInput, [_hessian.Pointer]);
        }

        List<LandscapePoint> points = new(steps + 1) { Here() };
        bool hasLeft = false;
        for (int step = 0; step < steps && !hasLeft; step++)
        {
            stop.ThrowIfCancellationRequested();
            ComputeGradient(step);
            if (takesHessian)
            {
                ComputeHessian();
            }

            while (dimer is { NeedsDisplacedGradient: true })
            {
                dimer.Displace();
                ComputeGradient(step);
            }

            if (dimer is null)
            {
                optimizer.Step();
            }
            else
            {
                dimer.Step();
            }

            hasLeft = !_landscape.Contains(Point.X, Point.Y);
            if (!hasLeft)
            {
                points.Add(Here());
            }
        }

        int taken = points.Count - (hasLeft ? 0 : 1);
        return new LandscapeRun(_landscape, recipe, learningRate, points, hasLeft, dimer?.GradientEvaluations ?? taken);
    }

    public void Dispose()
    {
        _set.Dispose();
        _hessian.Dispose();
    }

    private LandscapePoint Here() => new(Point.X, Point.Y, _landscape.Evaluate(Point.X, Point.Y).Loss);

    // All gradients of a step have the same noise, as those of one batch have.
    private void ComputeGradient(int step)
    {
        LandscapeValue value = _landscape.Evaluate(Point.X, Point.Y);
        var random = new DeterministicRandom(_seed, (ulong)step);
        _gradients[0] = (float)((value.GradientX / _landscape.MeanGradient) + (_noise * random.NextNormal()));
        _gradients[1] = (float)((value.GradientY / _landscape.MeanGradient) + (_noise * random.NextNormal()));
    }

    private void ComputeHessian()
    {
        LandscapeHessian hessian = _landscape.Hessian(Point.X, Point.Y);
        double scale = _landscape.HalfWidth / _landscape.MeanGradient;
        _hessian.CopyFrom([(float)(hessian.XX * scale), (float)(hessian.YY * scale)]);
    }
}
