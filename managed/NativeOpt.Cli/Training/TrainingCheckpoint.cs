using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Training;

/// <summary>
/// What a run that has not ended needs to go on, in a file that is replaced now and then: the plan and the points so far as
/// JSON after its length, then the parameters and states as a <c>.safetensors</c> file has them.
/// </summary>
internal sealed class TrainingCheckpoint
{
    private readonly string _path;
    private readonly RunPlan _plan;
    private readonly Stopwatch _age = Stopwatch.StartNew();
    private OutputFiles _files = new();
    private bool _isThere; // and to be taken up again

    private TrainingCheckpoint(string path, RunPlan plan, bool isThere) => (_path, _plan, _isThere) = (path, plan, isThere);

    /// <summary>The least time between two of the files that a run writes by itself.</summary>
    public TimeSpan Interval { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether it is time to write one.</summary>
    public bool IsDue => _age.Elapsed >= Interval;

    /// <summary>The name of an optimizer's file.</summary>
    public static string FileName(string optimizer) => $"{optimizer}.checkpoint";

    /// <summary>Looks for the file of an earlier command, if that is wanted.</summary>
    /// <param name="folder">The folder of the command's files.</param>
    /// <param name="optimizer">The optimizer's name.</param>
    /// <param name="resume">Whether to take it up again; if not, the first file that is written replaces it.</param>
    /// <param name="plan">All that decides what comes of the run.</param>
    /// <exception cref="UsageException">It is of another plan or of another version, or cannot be read.</exception>
    public static TrainingCheckpoint Open(string folder, string optimizer, bool resume, RunPlan plan)
    {
        string path = Path.Combine(folder, FileName(optimizer));
        if (!resume || !File.Exists(path))
        {
            return new TrainingCheckpoint(path, plan, isThere: false);
        }

        Progress progress = RunPlan.Read(path, ReadProgress);
        plan.Require(path, progress.Version, progress.Plan);
        return new TrainingCheckpoint(path, plan, isThere: true);
    }

    /// <summary>Brings a model to where the file's run was.</summary>
    /// <param name="model">The model and its optimizer.</param>
    /// <returns>What the run had done; null: there is no such file, and nothing has changed.</returns>
    /// <exception cref="UsageException">The file cannot be read or does not fit.</exception>
    public Progress? Restore(OptimizedGpt model) => !_isThere ? null : RunPlan.Read(_path, file =>
    {
        Progress progress = ReadProgress(file);
        model.Load(file, progress.Points.Count);
        return progress;
    });

    /// <summary>Replaces the file. One that cannot be written does not end the run; see <see cref="Lost"/>.</summary>
    /// <param name="model">The model and its optimizer.</param>
    /// <param name="points">The points so far, one for each step.</param>
    /// <param name="stepTime">What all steps took.</param>
    /// <param name="optimizerTime">What of that the optimizer took.</param>
    public void Save(OptimizedGpt model, IReadOnlyList<TrainingPoint> points, TimeSpan stepTime, TimeSpan optimizerTime)
    {
        var progress = new Progress(NativeRuntime.Version, _plan.Json, points, stepTime, optimizerTime);
        _files = new OutputFiles(); // Only the last attempt counts.
        _files.Write(_path, file =>
        {
            using (var writer = new BinaryWriter(file, Encoding.UTF8, leaveOpen: true))
            {
                writer.Write(JsonSerializer.Serialize(progress, RunPlan.Options));
            }

            model.Save(file);
        });
        _age.Restart();
    }

    /// <summary>Deletes the file of a run that has ended.</summary>
    public void Delete()
    {
        _files = new OutputFiles();
        _isThere = false;
        try
        {
            File.Delete(_path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It stays, and is never read where the run is known to have ended.
        }
    }

    /// <summary>Why the last file could not be written; null if it was.</summary>
    public string? Lost => _files.Lost;

    private static Progress ReadProgress(FileStream file)
    {
        using var reader = new BinaryReader(file, Encoding.UTF8, leaveOpen: true);
        Progress progress = JsonSerializer.Deserialize<Progress>(reader.ReadString(), RunPlan.Options)
            ?? throw new JsonException("It holds nothing.");
        return progress.Points.Where(static (point, step) => point.Step != step || point.TrainLoss is null).Any()
            ? throw new JsonException("Its points are not those of the first steps.") : progress;
    }

    /// <summary>What a run had done.</summary>
    /// <param name="Version">The version of the library.</param>
    /// <param name="Plan">The plan.</param>
    /// <param name="Points">The points, one for each step.</param>
    /// <param name="StepTime">What all steps took.</param>
    /// <param name="OptimizerTime">What of that the optimizer took.</param>
    internal sealed record Progress(
        string Version, JsonNode Plan, IReadOnlyList<TrainingPoint> Points, TimeSpan StepTime, TimeSpan OptimizerTime);
}
