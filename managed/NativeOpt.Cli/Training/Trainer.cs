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
    /// <param name="checkpoint">Where an earlier run is taken up again, and this one is kept; null: nowhere.</param>
    /// <returns>What came of it; also when it ended early.</returns>
    /// <exception cref="Commands.UsageException">The checkpoint cannot be taken up again.</exception>
    public TrainingRun Run(
        OptimizerRecipe recipe,
        double learningRate,
        double switchingRate,
        Action<TrainingStatus> report,
        CancellationToken stop,
        TrainingCheckpoint? checkpoint = null)
    {
        TrainingSchedule schedule = _plan.Schedule with { PeakLearningRate = learningRate };
        var model = new Gpt(_plan.Model, schedule.BatchSize, _plan.Seed);
        if (_plan.Threads is int threads)
        {
            model.Threads = threads;
            NativeRuntime.CpuThreads = threads;
        }

        using var trained = new OptimizedGpt(model, recipe, switchingRate, _plan);
        TrainingCheckpoint.Progress? earlier = checkpoint?.Restore(trained);
        List<TrainingPoint> points = [.. earlier?.Points ?? []];
        var stepTime = new Stopwatch();
        double? validationLoss = points.LastOrDefault(static point => point.ValidationLoss is not null).ValidationLoss;
        double smoothedLoss = points.Aggregate(double.NaN, static (mean, point) => Smooth(mean, point.TrainLoss!.Value));
        TrainingEnd? end = null;
        for (int step = points.Count; ; step++)
        {
            bool isDone = step == schedule.Steps || trained.GradientEvaluations >= _plan.GradientBudget;
            bool isLast = isDone || stop.IsCancellationRequested;
            if (!isDone && (isLast || checkpoint is { IsDue: true }))
            {
                checkpoint?.Save(trained, points, StepTime(), OptimizerTime());
            }

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
            long gradients = trained.GradientEvaluations;
            if (end is not null)
            {
                points.Add(new TrainingPoint(step, null, null, measured, gradients));
                break;
            }

            stepTime.Start();
            _data.FillTrainingBatch(_plan.Seed, step, _inputs, _targets);
            double rate = schedule.LearningRate(step);
            float trainLoss = trained.Step(_inputs, _targets, schedule.BatchSize, rate);
            stepTime.Stop();
            points.Add(new TrainingPoint(step, rate, trainLoss, measured, gradients, trained.Curvature));
            if (!float.IsFinite(trainLoss))
            {
                end = TrainingEnd.Diverged;
                break;
            }

            smoothedLoss = Smooth(smoothedLoss, trainLoss);
            Report(step + 1, isValidation: false);
        }

        return new TrainingRun(
            recipe,
            learningRate,
            recipe.UsesSwitchingRate ? switchingRate : null,
            points,
            end.Value,
            StepTime(),
            OptimizerTime(),
            trained.AllocatedBytes,
            _inputs.Length,
            end == TrainingEnd.Diverged ? "" : Sample(model))
        {
            Parameters = model.Parameters,
        };

        TimeSpan StepTime() => stepTime.Elapsed + (earlier?.StepTime ?? TimeSpan.Zero);

        TimeSpan OptimizerTime() => trained.OptimizerTime + (earlier?.OptimizerTime ?? TimeSpan.Zero);

        void Report(int step, bool isValidation) => report(new TrainingStatus(
            step,
            schedule.Steps,
            isValidation,
            smoothedLoss,
            validationLoss,
            step * (double)_inputs.Length / Math.Max(StepTime().TotalSeconds, 1e-9),
            OptimizerTime() / TimeSpan.FromTicks(Math.Max(1, StepTime().Ticks))));
    }

    private static double Smooth(double mean, float loss) => double.IsNaN(mean) ? loss : (0.95 * mean) + (0.05 * loss);

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
