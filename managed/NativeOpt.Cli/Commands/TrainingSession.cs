using System.Runtime.ExceptionServices;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary>
/// Trains with one optimizer after another, leaves the files of what there is after each, and keeps what a later command needs to
/// go on: the finished runs, and a checkpoint of the one in progress.
/// </summary>
internal sealed class TrainingSession
{
    private readonly TrainingPlan _plan;
    private readonly string _textName;
    private readonly TextDataset _data;
    private readonly Trainer _trainer;
    private readonly OutputFiles _modelFiles = new();
    private OutputFiles _files = new();
    private IReadOnlyList<string> _written = [];
    private readonly List<string> _models = [];
    private FinishedRuns<FinishedTraining>? _finished;
    private TrainingCheckpoint[] _checkpoints = [];
    private ExceptionDispatchInfo? _fault;

    /// <param name="plan">What the runs do.</param>
    /// <param name="textName">What the text is called.</param>
    /// <param name="data">The text.</param>
    public TrainingSession(TrainingPlan plan, string textName, TextDataset data)
    {
        (_plan, _textName, _data) = (plan, textName, data);
        _trainer = new Trainer(plan, data);
    }

    /// <summary>The optimizers.</summary>
    public required IReadOnlyList<OptimizerRecipe> Recipes { get; init; }

    /// <summary>The peak learning rate of all; null: each has its own.</summary>
    public double? LearningRate { get; init; }

    /// <summary>DualAdam's; null: as suits the number of steps.</summary>
    public double? SwitchingRate { get; init; }

    /// <summary>The folder of the files.</summary>
    public required string Folder { get; init; }

    /// <summary>Whether trained models are kept.</summary>
    public bool KeepsModels { get; init; }

    /// <summary>How many numbers training changes.</summary>
    public long ParameterCount => _trainer.ParameterCount;

    /// <summary>What came of the runs so far, the last of which may have ended early.</summary>
    public List<TrainingRun> Runs { get; } = [];

    /// <summary>The names of the files that were written.</summary>
    public IReadOnlyList<string> Written => [.. _written, .. _models, .. _finished?.Written ?? []];

    /// <summary>Looks at what an earlier command has left, before anything is done.</summary>
    /// <param name="resume">Whether to take it up again.</param>
    /// <exception cref="UsageException">It is of another plan, or cannot be read.</exception>
    public void Open(bool resume)
    {
        // Neither the list of optimizers nor the number of threads is part of it: a run depends on neither.
        var decisive = new Plan(
            _data.Digest, _plan with { Threads = null, Device = default }, _plan.Device.ToString(), LearningRate, SwitchingRate, KeepsModels);
        _finished = FinishedRuns<FinishedTraining>.Open(Folder, resume, decisive);
        var plan = RunPlan.Of(decisive);
        _checkpoints = [.. Recipes.Select(recipe => TrainingCheckpoint.Open(Folder, recipe.Name, resume, plan))];
    }

    /// <summary>Trains with all optimizers, but for the runs that are finished already.</summary>
    /// <param name="view">Shows how far it is.</param>
    /// <param name="stop">Ends it after the step in progress.</param>
    public void Run(TrainingView view, CancellationToken stop)
    {
        foreach ((OptimizerRecipe recipe, TrainingCheckpoint checkpoint) in Recipes.Zip(_checkpoints))
        {
            try
            {
                Add(Find(view, recipe) ?? Train(view, recipe, checkpoint, stop), checkpoint);
            }
            catch (Exception error) when (Runs.Count > 0)
            {
                // What the runs before it have computed is printed first.
                _fault = ExceptionDispatchInfo.Capture(error);
                return;
            }

            if (stop.IsCancellationRequested)
            {
                return;
            }
        }
    }

    /// <summary>Why no further run was begun; null if nothing has failed.</summary>
    public string? Fault => _fault?.SourceException.Message;

    /// <summary>Leaves the record of the command beside the other files.</summary>
    public void WriteRecord(RunRecord record, TrainingSummary summary) =>
        _written = [.. _written, .. _files.Write(Folder, [record.File(Written, summary)])];

    /// <summary>Reports what failed, after the results have been printed.</summary>
    /// <exception cref="OutputFault">A file could not be written.</exception>
    public void ThrowIfFailed()
    {
        _fault?.Throw();
        OutputFiles.ThrowIfAnyLost(
            [_files.Lost, _modelFiles.Lost, _finished!.Lost, .. _checkpoints.Select(static checkpoint => checkpoint.Lost)]);
    }

    private TrainingRun? Find(TrainingView view, OptimizerRecipe recipe)
    {
        // A model that is wanted and gone has to be trained again.
        if (_finished!.Find(recipe.Name) is not { } finished
            || (KeepsModels && finished.End == TrainingEnd.Completed && !File.Exists(ModelPath(recipe))))
        {
            return null;
        }

        if (KeepsModels && finished.End == TrainingEnd.Completed)
        {
            _models.Add(TrainingFiles.Model(recipe.Name));
        }

        view.ShowFinished(recipe.Name);
        return finished.ToRun(recipe);
    }

    private TrainingRun Train(TrainingView view, OptimizerRecipe recipe, TrainingCheckpoint checkpoint, CancellationToken stop)
    {
        TrainingRun run = view.Watch(recipe.Name, report => _trainer.Run(
            recipe,
            LearningRate ?? recipe.LearningRate,
            SwitchingRate ?? OptimizerRecipe.SwitchingPerRun / _plan.Schedule.Steps,
            report,
            stop,
            checkpoint));
        bool isKept = !KeepsModels || run.End == TrainingEnd.Diverged || WriteModel(run);
        if (isKept && run.End != TrainingEnd.Cancelled)
        {
            _finished!.Add(recipe.Name, FinishedTraining.Of(run));
        }

        return run;
    }

    private void Add(TrainingRun run, TrainingCheckpoint checkpoint)
    {
        Runs.Add(run);
        if (run.End != TrainingEnd.Cancelled)
        {
            checkpoint.Delete();
        }

        // After each one, so that no later mishap can take it. Only the last attempt counts, which is at all runs.
        _files = new OutputFiles();
        _written = _files.Write(Folder, TrainingFiles.Of(_textName, _data.UnigramEntropy, Runs));
    }

    private bool WriteModel(TrainingRun run)
    {
        bool isWritten = _modelFiles.Write(ModelPath(run.Recipe), file => GptFile.Write(file, run, _plan.Model, _data));
        if (isWritten)
        {
            _models.Add(TrainingFiles.Model(run.Recipe.Name));
        }

        return isWritten;
    }

    private string ModelPath(OptimizerRecipe recipe) => Path.Combine(Folder, TrainingFiles.Model(recipe.Name));

    private sealed record Plan(
        string TextSha256, TrainingPlan Training, string Device, double? LearningRate, double? SwitchingRate, bool Save);
}
