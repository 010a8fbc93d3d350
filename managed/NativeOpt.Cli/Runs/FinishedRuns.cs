using System.Text.Json;
using System.Text.Json.Nodes;
using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Runs;

/// <summary>
/// The finished runs of a command that does many, in a file that is replaced after each of them, so that <c>--resume</c> goes
/// on after the last one.
/// </summary>
/// <typeparam name="TRun">What came of a run, in full: what is read again is taken for the run itself.</typeparam>
internal sealed class FinishedRuns<TRun>
    where TRun : class
{
    /// <summary>The file's name.</summary>
    public const string FileName = "runs.json";

    private readonly string _path;
    private readonly RunPlan _plan;
    private readonly Dictionary<string, TRun> _runs;
    private OutputFiles _files = new();

    private FinishedRuns(string path, RunPlan plan, Dictionary<string, TRun> runs) => (_path, _plan, _runs) = (path, plan, runs);

    /// <summary>Reads what an earlier command has finished, if that is wanted and there.</summary>
    /// <param name="folder">The folder of the command's files.</param>
    /// <param name="resume">Whether <c>--resume</c> is given; if not, the first run that is added replaces the file.</param>
    /// <param name="plan">All that decides what comes of the runs; a record.</param>
    /// <exception cref="UsageException">The file is of another plan or of another version, or cannot be read.</exception>
    public static FinishedRuns<TRun> Open(string folder, bool resume, object plan)
    {
        string path = Path.Combine(folder, FileName);
        RunPlan now = RunPlan.Of(plan);
        if (!resume || !File.Exists(path))
        {
            return new FinishedRuns<TRun>(path, now, []);
        }

        Contents earlier = RunPlan.Read(path, static file =>
            JsonSerializer.Deserialize<Contents>(file, RunPlan.Options) ?? throw new JsonException("It holds nothing."));
        now.Require(path, earlier.Version, earlier.Plan);
        return new FinishedRuns<TRun>(path, now, earlier.Runs);
    }

    /// <summary>A finished run; null if it has to be done. Runs may be found and added from several threads.</summary>
    public TRun? Find(string name)
    {
        lock (_runs)
        {
            return _runs.GetValueOrDefault(name);
        }
    }

    /// <summary>Keeps a run that is finished, and not one that ended early on request.</summary>
    /// <param name="name">What <see cref="Find"/> finds it by.</param>
    /// <param name="run">What came of it.</param>
    public void Add(string name, TRun run)
    {
        lock (_runs)
        {
            _runs[name] = run;
            _files = new OutputFiles(); // Only the last attempt counts, which is at all runs.
            var contents = new Contents(NativeRuntime.Version, _plan.Json, _runs);
            _files.Write(_path, file => JsonSerializer.Serialize(file, contents, RunPlan.Options));
        }
    }

    /// <summary>The name of the file, if there is one that has all runs.</summary>
    public IReadOnlyList<string> Written => _runs.Count > 0 && _files.Lost is null ? [FileName] : [];

    /// <summary>Why the last run could not be kept; null if it is.</summary>
    public string? Lost => _files.Lost;

    private sealed record Contents(string Version, JsonNode Plan, Dictionary<string, TRun> Runs);
}
