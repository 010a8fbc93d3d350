using System.Diagnostics;

namespace NativeOpt.Cli.Training;

/// <summary>A model with the optimizer that trains it, and with the dimer around that if the recipe has one.</summary>
internal sealed class OptimizedGpt : IDisposable
{
    private readonly OptimizedParameters _parameters;
    private readonly Optimizer _optimizer;
    private readonly DimerOptimizer? _dimer;
    private readonly HessianEstimates? _hessian;
    private readonly Stopwatch _optimizerTime = new();
    private long _steps;

    /// <param name="model">The model, whose parameters are trained.</param>
    /// <param name="recipe">The optimizer.</param>
    /// <param name="switchingRate">DualAdam's.</param>
    /// <param name="plan">The dimer, and how and where the parameters are stored.</param>
    public OptimizedGpt(Gpt model, OptimizerRecipe recipe, double switchingRate, TrainingPlan plan)
    {
        Model = model;
        DType type = plan.Precision.DType;
        bool isInPlace = plan.Device.Backend == Backend.Cpu && type == DType.Float32;
        _parameters = new OptimizedParameters(model.Parameters, plan.Device, isInPlace, type);
        _optimizer = recipe.Create(_parameters.Set, switchingRate, plan.Precision);
        _dimer = recipe.HasDimer ? new DimerOptimizer(_optimizer, plan.Dimer with { Seed = plan.Seed }) : null;
        _hessian = plan.HessianInterval is int interval && HessianEstimates.AreTakenBy(recipe.Preset)
            ? new HessianEstimates(model, _optimizer, interval, plan.Seed) : null;
    }

    /// <summary>The model.</summary>
    public Gpt Model { get; }

    /// <summary>Gradients computed; more than the steps where a dimer needs them, or estimates of the Hessian do.</summary>
    public long GradientEvaluations => (_dimer?.GradientEvaluations ?? _steps) + (_hessian?.GradientEvaluations(_steps) ?? 0);

    /// <summary>Of the loss along the dimer's direction; null if the last step did not measure it.</summary>
    public double? Curvature { get; private set; }

    /// <summary>What all steps of the optimizer took; on a GPU or in bfloat16 with the copies to and fro.</summary>
    public TimeSpan OptimizerTime => _optimizerTime.Elapsed;

    /// <summary>The memory of the optimizer's states, and of the dimer.</summary>
    public long AllocatedBytes => _optimizer.AllocatedBytes + (_dimer?.AllocatedBytes ?? 0);

    /// <summary>Learns from a batch, unless its loss is not finite.</summary>
    /// <param name="inputs">The tokens of the sequences, in turn.</param>
    /// <param name="targets">For each of them the token that follows it.</param>
    /// <param name="batch">The number of sequences.</param>
    /// <param name="learningRate">The learning rate of the step.</param>
    /// <returns>The loss before the step.</returns>
    public float Step(ReadOnlySpan<int> inputs, ReadOnlySpan<int> targets, int batch, double learningRate)
    {
        _hessian?.GiveTo(_steps, inputs, batch);
        float loss = Model.ForwardBackward(inputs, targets, batch);
        Curvature = null;
        if (!float.IsFinite(loss))
        {
            return loss;
        }

        _optimizer.LearningRate = learningRate;
        if (_dimer is null)
        {
            Update(_optimizer.Step);
        }
        else
        {
            _dimer.ReportLoss(loss);
            bool measures = _dimer.NeedsDisplacedGradient;
            while (_dimer.NeedsDisplacedGradient)
            {
                Update(_dimer.Displace);
                Model.ForwardBackward(inputs, targets, batch);
            }

            Update(_dimer.Step);
            Curvature = measures ? _dimer.GetStatus().Curvature : null;
        }

        _steps++;
        return loss;
    }

    /// <summary>Writes all that later steps depend on: the parameters and the states of optimizer and dimer.</summary>
    public void Save(Stream destination)
    {
        if (_dimer is null)
        {
            _optimizer.Save(destination, includeParameters: true);
        }
        else
        {
            _dimer.Save(destination, includeParameters: true);
        }
    }

    /// <summary>Reads what <see cref="Save"/> wrote after a number of steps; the same steps follow, bit for bit.</summary>
    /// <exception cref="InvalidDataException">It does not fit, or is of another number of steps.</exception>
    public void Load(Stream source, long steps)
    {
        _parameters.Restore(() =>
        {
            if (_dimer is null)
            {
                _optimizer.Load(source);
            }
            else
            {
                _dimer.Load(source);
            }
        });
        _steps = _optimizer.StepCount == steps
            ? steps
            : throw new InvalidDataException($"It has the states after {_optimizer.StepCount} steps and the losses of {steps}.");
    }

    public void Dispose()
    {
        _hessian?.Dispose();
        _dimer?.Dispose();
        _optimizer.Dispose();
        _parameters.Dispose();
    }

    private void Update(Action update)
    {
        _optimizerTime.Start();
        _parameters.Update(update);
        _optimizerTime.Stop();
    }
}
