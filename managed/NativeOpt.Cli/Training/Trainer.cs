using System.Diagnostics;
using System.Text;

namespace NativeOpt.Cli.Training;

/// <summary>Where a run is, for people to watch.</summary>
/// <param name="Step">Steps taken.</param>
/// <param name="Steps">Steps to take.</param>
/// <param name="IsValidation">Whether the validation loss is new.</param>
/// <param name="TrainLoss">The smoothed loss of the last batches; NaN before the first.</param>
/// <param name="ValidationLoss">The last one measured.</param>
/// <param name="TokensPerSecond">Tokens learned from in a second, validation aside.</param>
/// <param name="OptimizerShare">The part of that time which the optimizer takes.</param>
internal readonly record struct TrainingStatus(
    int Step, int Steps, bool IsValidation, double TrainLoss, double? ValidationLoss, double TokensPerSecond, double OptimizerShare);

/// <summary>Trains a <see cref="Gpt"/> with an optimizer of NativeOpt.</summary>
internal sealed class Trainer
{
    private readonly TrainingPlan _plan;
    private readonly TextDataset _data;
    private readonly int[] _inputs;
    private readonly int[] _targets;

    public Trainer(TrainingPlan plan, TextDataset data)
    {
        _plan = plan;
        _data = data;
        _inputs = new int[plan.Schedule.BatchSize * plan.Model.ContextLength];
        _targets = new int[_inputs.Length];
        ParameterCount = new Gpt(plan.Model, maximumBatch: 1, plan.Seed).ParameterCount;
    }

    /// <summary>How many numbers training changes.</summary>
    public long ParameterCount { get; }

    /// <summary>Trains new weights, always the same ones.</summary>
    /// <param name="recipe">The optimizer.</param>
    /// <param name="learningRate">Its peak learning rate.</param>
    /// <param name="switchingRate">DualAdam's.</param>
    /// <param name="report">Called after every step and every validation.</param>
    /// <param name="stop">Ends the run after the step in progress.</param>
    /// <returns>What came of it; also when it ended early.</returns>
    public TrainingRun Run(
        OptimizerRecipe recipe,
        double learningRate,
        double switchingRate,
        Action<TrainingStatus> report,
        CancellationToken stop)
    {
        TrainingSchedule schedule = _plan.Schedule with { PeakLearningRate = learningRate };
        var model = new Gpt(_plan.Model, schedule.BatchSize, _plan.Seed);
        if (_plan.Threads is int threads)
        {
            model.Threads = threads;
            NativeRuntime.CpuThreads = threads;
        }

        DType type = _plan.Precision.DType;
        using var parameters = new OptimizedParameters(
            model.Parameters, _plan.Device, inPlace: _plan.Device.Backend == Backend.Cpu && type == DType.Float32, type);
        using Optimizer optimizer = recipe.Create(parameters.Set, switchingRate, _plan.Precision);
        using DimerOptimizer? dimer =
            recipe.HasDimer ? new DimerOptimizer(optimizer, _plan.Dimer with { Seed = _plan.Seed }) : null;
        using HessianEstimates? hessian = _plan.HessianInterval is int interval && HessianEstimates.AreTakenBy(recipe.Preset)
            ? new HessianEstimates(model, optimizer, interval, _plan.Seed)
            : null;
        List<TrainingPoint> points = new(schedule.Steps + 1);
        var stepTime = new Stopwatch();
        var optimizerTime = new Stopwatch();
        double? validationLoss = null;
        double smoothedLoss = double.NaN;
        TrainingEnd? end = null;
        for (int step = 0; ; step++)
        {
            bool isDone = step == schedule.Steps || Gradients(step) >= _plan.GradientBudget;
            bool isLast = isDone || stop.IsCancellationRequested;
            double? measured = null;
            if (isLast || step % _plan.ValidationInterval == 0)
            {
                validationLoss = measured = Validate(model);
                Report(step, isValidation: true);
            }

            end = measured is double loss && !double.IsFinite(loss) ? TrainingEnd.Diverged
                : isDone ? TrainingEnd.Completed
                : isLast ? TrainingEnd.Cancelled
                : null;
            if (end is not null)
            {
                points.Add(new TrainingPoint(step, null, null, measured, Gradients(step)));
                break;
            }

            stepTime.Start();
            _data.FillTrainingBatch(_plan.Seed, step, _inputs, _targets);
            hessian?.GiveTo(step, _inputs, schedule.BatchSize);
            float trainLoss = model.ForwardBackward(_inputs, _targets, schedule.BatchSize);
            optimizer.LearningRate = schedule.LearningRate(step);
            var point = new TrainingPoint(step, optimizer.LearningRate, trainLoss, measured, Gradients(step));
            if (!float.IsFinite(trainLoss))
            {
                stepTime.Stop();
                points.Add(point);
                end = TrainingEnd.Diverged;
                break;
            }

            if (dimer is null)
            {
                Update(optimizer.Step);
            }
            else
            {
                dimer.ReportLoss(trainLoss);
                bool measures = dimer.NeedsDisplacedGradient;
                while (dimer.NeedsDisplacedGradient)
                {
                    Update(dimer.Displace);
                    model.ForwardBackward(_inputs, _targets, schedule.BatchSize);
                }

                Update(dimer.Step);
                point = point with { Curvature = measures ? dimer.GetStatus().Curvature : null };
            }

            points.Add(point);
            stepTime.Stop();
            smoothedLoss = double.IsNaN(smoothedLoss) ? trainLoss : (0.95 * smoothedLoss) + (0.05 * trainLoss);
            Report(step + 1, isValidation: false);
        }

        return new TrainingRun(
            recipe,
            learningRate,
            recipe.UsesSwitchingRate ? switchingRate : null,
            points,
            end.Value,
            stepTime.Elapsed,
            optimizerTime.Elapsed,
            optimizer.AllocatedBytes + (dimer?.AllocatedBytes ?? 0),
            _inputs.Length,
            end == TrainingEnd.Diverged ? "" : Sample(model))
        {
            Parameters = model.Parameters,
        };

        void Update(Action update)
        {
            optimizerTime.Start();
            parameters.Update(update);
            optimizerTime.Stop();
        }

        long Gradients(int step) => (dimer?.GradientEvaluations ?? step) + (hessian?.GradientEvaluations ?? 0);

        void Report(int step, bool isValidation) => report(new TrainingStatus(
            step,
            schedule.Steps,
            isValidation,
            smoothedLoss,
            validationLoss,
            step * (double)_inputs.Length / Math.Max(stepTime.Elapsed.TotalSeconds, 1e-9),
            optimizerTime.Elapsed / TimeSpan.FromTicks(Math.Max(1, stepTime.Elapsed.Ticks))));
    }

    /// <summary>What the model writes, fit for files and terminals: a character that is half of a surrogate pair, or that
    /// controls a terminal, is replaced.</summary>
    private string Sample(Gpt model)
    {
        string text = model.Sample(_data.Tokenizer, "\n", _plan.SampleLength, seed: _plan.Seed);
        var printable = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            printable.Append(Rune.IsControl(rune) && rune.Value is not ('\n' or '\t') ? Rune.ReplacementChar : rune);
        }

        return printable.ToString();
    }

    private double Validate(Gpt model)
    {
        double sum = 0;
        for (int i = 0; i < _plan.ValidationBatches; i++)
        {
            _data.FillValidationBatch(i, _plan.ValidationBatches, _inputs, _targets);
            sum += model.Forward(_inputs, _targets, _plan.Schedule.BatchSize);
        }

        return sum / _plan.ValidationBatches;
    }
}
