using System.CommandLine;
using System.Security.Cryptography;
using NativeOpt.Cli.Hessians;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt hessian</c>.</summary>
internal sealed class HessianCommand : Command, IHaveExamples
{
    private static readonly HessianPlan _default = new();

    private readonly Argument<string[]> _solutions = new("solutions")
    {
        Description = "Models that nativeopt train --save has written.",
        HelpName = "FILE",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<string?> _text = new("--text")
    {
        Description = "The text whose loss it is, UTF-8: the one that was trained on. Default: the documentation and sources of "
            + "NativeOpt itself, as in train.",
        HelpName = "FILE",
    };

    private readonly Option<int?> _windows = CommonOptions.Integer(
        "--windows", $"Windows of the training text whose mean loss is looked at. Default: {_default.Windows}.", 1, 4096);

    private readonly Option<int?> _eigenvalues = CommonOptions.Integer(
        "--eigenvalues", $"Eigenvalues to tell at each end. Default: {_default.Eigenvalues}.", 1, 100);

    private readonly Option<int?> _lanczosSteps = CommonOptions.Integer(
        "--lanczos-steps",
        $"Products for the eigenvalues at the ends; each keeps a vector in memory. Default: {_default.LanczosSteps}.",
        2,
        1000);

    private readonly Option<int?> _probes = CommonOptions.Integer(
        "--probes", $"Random vectors for trace and density. Default: {_default.Probes}.", 2, 1000);

    private readonly Option<int?> _densitySteps = CommonOptions.Integer(
        "--density-steps", $"Products for each of them. Default: {_default.DensitySteps}.", 2, 1000);

    private readonly Option<int?> _directions = CommonOptions.Integer(
        "--directions", $"Random directions along which the loss is looked at. Default: {_default.Directions}.", 1, 1000);

    private readonly Option<double?> _range = CommonOptions.Positive(
        "--range",
        FormattableString.Invariant(
            $"How far the loss is looked at, to both sides. Default: {_default.Reach}, with --filter-normalization ")
        + FormattableString.Invariant($"{(_default with { FilterNormalisation = true }).Reach}."));

    private readonly Option<bool> _filterNormalisation = new("--filter-normalization")
    {
        Description = "Scale each row of a direction's matrices to the length of the solution's row, and leave biases and gains as "
            + "they are (Li et al. 2018). Default: directions of length 1.",
    };

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed", $"Selects windows, first vectors, probes and directions. Default: {_default.Seed}.", 0);

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Threads; the numbers have the same bits with any number. Default: all.", 1, 1024);

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"Folder for {string.Join(", ", HessianFiles.All)}. Default: none of them is written.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _resume = CommonOptions.Resume();

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public HessianCommand(TextWriter output, TextWriter error)
        : base(
            "hessian",
            "Show how sharp the loss is around models that nativeopt train --save has written: the extreme eigenvalues of its Hessian "
            + "(Lanczos), the trace (Hutchinson), the density of the eigenvalues (stochastic Lanczos quadrature), and the loss along "
            + "random directions. The Hessian's products are exact but for rounding; how far differences of gradients are from them "
            + "is told. A solution of 0.4 million parameters takes some two minutes on two cores. Ctrl-C ends it with the "
            + "solutions that are done (exit code 130), and --resume does the others.")
    {
        Add(_solutions);
        Option[] options =
        [
            _text, _windows, _eigenvalues, _lanczosSteps, _probes, _densitySteps, _directions, _range, _filterNormalisation, _seed,
            _threads, _out, _resume, _json,
        ];
        foreach (Option option in options)
        {
            Add(option);
        }

        SetAction((parsed, stop) => Task.FromResult(
            Run(parsed, new Terminal(output, error, parsed.GetValue(_json)), stop)));
    }

    public string Examples => """
        Examples:
          nativeopt train --compare adam,invadam,dualadam --save --out solutions
          nativeopt hessian solutions/adam.safetensors solutions/dualadam.safetensors --out hessian
          nativeopt hessian solutions/adam.safetensors --filter-normalization --range 0.5
          nativeopt hessian solutions/adam.safetensors --lanczos-steps 200 --eigenvalues 20 --json

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        string[] files = parsed.GetValue(_solutions)!;
        SavedGpt[] solutions = [.. files.Select(Read)];
        string text = ReadText(parsed.GetValue(_text));
        TextDataset[] data = [.. solutions.Select(solution => Encode(parsed.GetValue(_text), text, solution))];
        HessianPlan plan = Plan(parsed);
        string? folder = parsed.GetValue(_out);
        bool resume = parsed.GetValue(_resume);
        CommonOptions.RequireFolder(_out.Name, folder, resume);
        OutputFiles.PrepareFolder(_out.Name, folder);
        FinishedRuns<HessianResult>? finished = folder is null ? null
            : FinishedRuns<HessianResult>.Open(folder, resume, new Decisive(plan with { Threads = 1 }, data[0].Digest));

        var record = new RunRecord(parsed, plan);
        var view = new HessianView(terminal);
        string[] names = Names(files);
        for (int i = 0; i < files.Length; i++)
        {
            if (data[i].Digest != solutions[i].TextDigest)
            {
                view.ShowOtherText(names[i]);
            }
        }

        IReadOnlyList<HessianResult> results = view.Watch(names, plan.Work, Compute);

        OutputFiles output = new();
        if (results.Count > 0)
        {
            output.Publish(
                terminal,
                record with { End = results.Count < files.Length ? RunEnd.Cancelled : RunEnd.Completed },
                folder,
                () => HessianFiles.Of(plan, results),
                () => HessianSummary.Of(plan, results, folder),
                () => view.ShowResults(plan, results),
                finished?.Written);
        }

        if (results.Count < files.Length)
        {
            view.ShowCancelled(results.Count, files.Length);
        }

        OutputFiles.ThrowIfAnyLost(output.Lost, finished?.Lost);
        return results.Count < files.Length ? ExitCode.Cancelled : ExitCode.Success;

        HessianResult Compute(int i, Action afterEach)
        {
            // A solution is known by its bytes, whatever it is called now.
            string key = Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(files[i])));
            HessianResult result = finished?.Find(key) ?? new HessianRunner(plan, afterEach, stop).Run(names[i], solutions[i], data[i]);
            finished?.Add(key, result);
            return result with { Name = names[i] };
        }
    }

    private HessianPlan Plan(ParseResult parsed) => new()
    {
        Windows = parsed.GetValue(_windows) ?? _default.Windows,
        LanczosSteps = parsed.GetValue(_lanczosSteps) ?? _default.LanczosSteps,
        Eigenvalues = parsed.GetValue(_eigenvalues) ?? _default.Eigenvalues,
        Probes = parsed.GetValue(_probes) ?? _default.Probes,
        DensitySteps = parsed.GetValue(_densitySteps) ?? _default.DensitySteps,
        Directions = parsed.GetValue(_directions) ?? _default.Directions,
        Range = parsed.GetValue(_range),
        FilterNormalisation = parsed.GetValue(_filterNormalisation),
        Seed = (ulong?)parsed.GetValue(_seed) ?? _default.Seed,
        Threads = parsed.GetValue(_threads) ?? _default.Threads,
    };

    private static SavedGpt Read(string file)
    {
        try
        {
            return GptFile.Read(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new UsageException($"{file}: {error.Message} Name a file that nativeopt train --save has written.");
        }
    }

    private static string ReadText(string? file)
    {
        try
        {
            return file is null ? RepositoryText.Read() : File.ReadAllText(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--text {file}: {error.Message} Name a readable text file.");
        }
    }

    private static TextDataset Encode(string? file, string text, SavedGpt solution)
    {
        try
        {
            return new TextDataset(text, solution.Config.ContextLength, solution.Tokenizer);
        }
        catch (ArgumentException error)
        {
            throw new UsageException($"--text {file}: {error.Message} Name a text file that is long enough.");
        }
    }

    // The names of the files, or all of their paths where two have the same.
    private static string[] Names(string[] files)
    {
        string[] names = [.. files.Select(static file => Path.GetFileNameWithoutExtension(file))];
        return names.Distinct().Count() == names.Length ? names : files;
    }

    private sealed record Decisive(HessianPlan Hessian, string TextSha256);
}
