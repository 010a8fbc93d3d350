using System.CommandLine;
using System.Security.Cryptography;
using NativeOpt.Cli.Finetuning;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt finetune</c>.</summary>
internal sealed class FinetuneCommand : Command, IHaveExamples
{
    private const string DefaultFolder = "nativeopt-finetune";
    private const string PretrainingFolder = "pretraining";

    // The pages of the documentation that are fine-tuned on where no text is named, and left out of what is trained on before.
    private static readonly string[] _pages = ["docs/dimer.md", "docs/precision.md"];

    // The two of the paper's figure.
    private static readonly string[] _usual = [OptimizerPresets.UsualOfTraining, "dualadam"];

    private static readonly FinetunePlan _default = new() { Recipes = [] };

    private readonly Option<string?> _from = new("--from")
    {
        Description = "The model to begin with, that nativeopt train --save has written; it needs --text. Default: one is trained first, "
            + "on the documentation and sources of NativeOpt itself, as in train.",
        HelpName = "FILE",
    };

    private readonly Option<string?> _text = new("--text")
    {
        Description = "The text to fine-tune on, UTF-8. The first eight tenths are for training, the next one to choose learning rates "
            + "by, and the last one for validation. Default: two pages of the documentation, which the text before then lacks.",
        HelpName = "FILE",
    };

    private readonly Option<bool> _mapUnknown = new("--map-unknown")
    {
        Description = "Read all characters that the model's vocabulary lacks as one and the same. Default: such a text is refused.",
    };

    private readonly Option<OptimizerRecipe[]?> _compare = CommonOptions.Names(
        "--compare",
        $"Fine-tune with each of these optimizers, those of train. Default: {string.Join(',', _usual)}.",
        static () => OptimizerRecipe.All,
        static recipe => recipe.Name);

    private readonly Option<int?> _epochs = CommonOptions.Integer(
        "--epochs", $"Times that the training part is learned from. Default: {_default.Epochs}.", 1, 10_000);

    private readonly Option<int?> _seeds = CommonOptions.Integer(
        "--seeds", $"Runs of each optimizer with the chosen learning rate. Default: {_default.Seeds}.", 1, 1000);

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed",
        "The seed of the first run; the others follow it. Seeds select the order of the windows; the model that is trained first has the "
        + $"first one's. Default: {_default.Seed}.",
        1);

    private readonly Option<double?> _learningRate = CommonOptions.Hyperparameter(
        "--learning-rate",
        OptimizerPresets.LearningRate,
        "The peak learning rate of all optimizers. Default: the best of a grid for each, "
        + $"{string.Join(", ", FinetunePlan.RateFactors.Select(static factor => FormattableString.Invariant($"{factor}")))} times its rate "
        + "in train, by the loss of the held-out part after the last epoch.");

    private readonly Option<double?> _switchingRate = CommonOptions.Hyperparameter(
        "--switching-rate",
        OptimizerPresets.SwitchingRate,
        "How much of dualadam's inverse part ends with each step. Default: 4 / steps, so that it is Adam alone after a quarter of the run.",
        orZero: true);

    private readonly Option<int?> _pretrainSteps = CommonOptions.Integer(
        "--pretrain-steps", $"Steps of the model that is trained first. Default: {TrainingSchedule.Default.Steps}.", 1);

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Runs at a time; the losses have the same bits with any number. Default: all processors.", 1, 1024);

    private readonly Option<string> _out = new("--out")
    {
        Description = $"Folder for {string.Join(", ", FinetuneFiles.All)}, and for the model that is trained first.",
        HelpName = "DIR",
        DefaultValueFactory = static _ => DefaultFolder,
    };

    private readonly Option<bool> _resume = CommonOptions.Resume();

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public FinetuneCommand(TextWriter output, TextWriter error)
        : base(
            "finetune",
            "Fine-tune a small character-level GPT on another, small text with several optimizers, and show training loss, validation "
            + "perplexity and generalisation gap over the epochs, in the form of Fig. 4 of DualAdam's paper (arXiv 2603.07122): mean ± "
            + "standard deviation over seeds. Each optimizer has the learning rate of its grid that is best on a part of the text which "
            + "neither training nor validation sees. With the defaults it takes some four minutes on two cores. Ctrl-C ends it with the "
            + "seeds that all optimizers have finished (exit code 130), and --resume goes on from there. The exit code is 1 if a run with "
            + "a chosen learning rate diverged, or a file could not be written.")
    {
        Option[] options =
        [
            _from, _text, _mapUnknown, _compare, _epochs, _seeds, _seed, _learningRate, _switchingRate, _pretrainSteps, _threads, _out,
            _resume, _json,
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
          nativeopt finetune
          nativeopt finetune --resume
          nativeopt train --text book.txt --save --out book
          nativeopt finetune --from book/adamw.safetensors --text letters.txt --map-unknown
          nativeopt finetune --compare adam,adamw,dualadam,lion --seeds 5 --epochs 20 --out optimizers

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        FinetunePlan plan = Plan(parsed);
        string? from = parsed.GetValue(_from), text = parsed.GetValue(_text);
        if (from is not null && text is null)
        {
            throw new UsageException($"{_from.Name}: name the text to fine-tune on by {_text.Name}, too.");
        }

        if (from is not null && parsed.GetValue(_pretrainSteps) is not null)
        {
            throw new UsageException($"{_pretrainSteps.Name}: with {_from.Name} no model is trained first; leave one of them out.");
        }

        string folder = parsed.GetValue(_out)!;
        bool resume = parsed.GetValue(_resume);
        SavedGpt? start = from is null ? null : ReadModel(from);
        TextDataset? before = from is null ? new TextDataset(TextBefore(text), GptConfig.Default(1).ContextLength) : null;
        FinetuneData data = ReadText(
            text,
            start?.Tokenizer ?? before!.Tokenizer,
            start?.Config.ContextLength ?? before!.ContextLength,
            plan,
            parsed.GetValue(_mapUnknown),
            out int unknown);
        OutputFiles.PrepareFolder(_out.Name, folder);

        var record = new RunRecord(parsed, plan);
        var view = new FinetuneView(terminal);
        if (before is not null)
        {
            from = Pretrain(parsed, terminal, view, before, Path.Combine(folder, PretrainingFolder), stop);
            if (from is null)
            {
                view.ShowCancelled(0);
                return ExitCode.Cancelled;
            }

            start = ReadModel(from);
        }

        string textName = text is null ? string.Join(" and ", _pages) : Path.GetFileName(text);
        var task = new FinetuneTask(from!, start!, textName, data, unknown);
        FinishedRuns<FinetuneRun> finished = FinishedRuns<FinetuneRun>.Open(folder, resume, Decisive(plan, from!, data));
        view.ShowHeader(plan, task);
        var runner = new FinetuneRunner(plan, start!, data, finished);
        bool isCancelled = false;
        try
        {
            view.Watch(plan, (report, advance) => runner.Run(report, advance, stop));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            isCancelled = true;
        }

        IReadOnlyList<FinetuneResult> results = runner.Results();
        FinetuneResult? diverged = results.FirstOrDefault(static result => !result.IsComplete);
        OutputFiles files = new();
        if (results.Count > 0)
        {
            files.Publish(
                terminal,
                record with
                {
                    End = isCancelled ? RunEnd.Cancelled : diverged is null ? RunEnd.Completed : RunEnd.Failed,
                    Message = diverged is null ? null : $"A run of {diverged.Name} diverged.",
                },
                folder,
                () => FinetuneFiles.Of(plan, task.TextName, results),
                () => FinetuneSummary.Of(plan, task, results, folder),
                () => view.ShowResults(plan, results),
                finished.Written);
        }

        if (isCancelled)
        {
            view.ShowCancelled(results.Count == 0 ? 0 : results[0].Runs.Count);
        }

        OutputFiles.ThrowIfAnyLost(files.Lost, finished.Lost);
        return isCancelled ? ExitCode.Cancelled
            : diverged is null ? ExitCode.Success : ExitCode.Failure;
    }

    private FinetunePlan Plan(ParseResult parsed)
    {
        IReadOnlyList<OptimizerRecipe> recipes = CommonOptions.Chosen(
            parsed,
            _compare,
            [.. _usual.Select(static name => OptimizerRecipe.All.Single(own => own.Name == name))]);
        double? learningRate = parsed.GetValue(_learningRate), switchingRate = parsed.GetValue(_switchingRate);
        CommonOptions.RequireSwitchingRate(_switchingRate.Name, recipes, switchingRate);
        foreach (OptimizerRecipe recipe in recipes)
        {
            CommonOptions.RequireLearningRate(_learningRate.Name, recipe.Name, recipe.Preset.Rule, learningRate);
        }

        return new FinetunePlan
        {
            Recipes = recipes,
            Epochs = parsed.GetValue(_epochs) ?? _default.Epochs,
            Seeds = parsed.GetValue(_seeds) ?? _default.Seeds,
            Seed = (ulong?)parsed.GetValue(_seed) ?? _default.Seed,
            LearningRate = learningRate,
            SwitchingRate = switchingRate,
            Threads = parsed.GetValue(_threads) ?? _default.Threads,
        };
    }

    // Neither the optimizers nor the number of seeds nor the threads are part of it: a run depends on none of them.
    private static DecisivePlan Decisive(FinetunePlan plan, string start, FinetuneData data) => new(
        Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(start))), data.Digest, plan.Epochs, plan.BatchSize, plan.Seed,
        plan.LearningRate, plan.SwitchingRate);

    /// <summary>Trains the model to begin with, or takes it from an earlier command.</summary>
    /// <returns>Its file; null if it was cancelled.</returns>
    private string? Pretrain(
        ParseResult parsed, Terminal terminal, FinetuneView view, TextDataset data, string folder, CancellationToken stop)
    {
        OutputFiles.PrepareFolder(_out.Name, folder);
        TrainingSchedule schedule = TrainingSchedule.Default.Of(parsed.GetValue(_pretrainSteps));
        OptimizerRecipe recipe = OptimizerRecipe.All.Single(static own => own.Name == OptimizerPresets.UsualOfTraining);
        var plan = new TrainingPlan(GptConfig.Default(data.Tokenizer.VocabularySize), schedule)
        {
            Seed = (ulong?)parsed.GetValue(_seed) ?? _default.Seed,
            Threads = parsed.GetValue(_threads),
        };
        var session = new TrainingSession(plan, "the sources of NativeOpt", data)
        {
            Recipes = [recipe],
            Folder = folder,
            KeepsModels = true,
        };
        session.Open(parsed.GetValue(_resume));
        view.ShowPretraining(folder);
        session.Run(new TrainingView(terminal), stop);
        session.ThrowIfFailed();
        return session.Runs[0].End switch
        {
            TrainingEnd.Cancelled => null,
            TrainingEnd.Completed => Path.Combine(folder, TrainingFiles.Model(recipe.Name)),
            _ => throw new UsageException($"{_pretrainSteps.Name}: the model that is trained first diverged; choose another number."),
        };
    }

    private static string TextBefore(string? text) =>
        text is null ? RepositoryText.Read(static path => !_pages.Contains(path)) : RepositoryText.Read();

    private FinetuneData ReadText(
        string? file, CharTokenizer tokenizer, int contextLength, FinetunePlan plan, bool mapsUnknown, out int unknown)
    {
        try
        {
            string text = file is null ? RepositoryText.Read(static path => _pages.Contains(path)) : File.ReadAllText(file);
            HashSet<char> known = [.. tokenizer.Characters];
            char[] others = [.. text.Where(character => !known.Contains(character))];
            unknown = others.Length;
            if (unknown > 0 && !mapsUnknown && file is not null)
            {
                const int Shown = 40;
                char[] distinct = [.. others.Distinct().Order()];
                throw new UsageException(
                    $"{_text.Name} {file}: {unknown:N0} of its {text.Length:N0} characters are not in the model's vocabulary: "
                    + string.Join(' ', distinct.Take(Shown).Select(static own => Printable.Of(own.ToString())))
                    + (distinct.Length > Shown ? $" and {distinct.Length - Shown} more" : "")
                    + $". Add {_mapUnknown.Name} to read all of them as one character, or begin with a model whose text has them.");
            }

            return new FinetuneData(text, tokenizer, contextLength, plan.BatchSize);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"{_text.Name} {file}: {error.Message} Name a readable text file that is long enough.");
        }
    }

    private SavedGpt ReadModel(string file)
    {
        try
        {
            return GptFile.Read(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new UsageException($"{_from.Name} {file}: {error.Message} Name a file that nativeopt train --save has written.");
        }
    }

    private sealed record DecisivePlan(
        string StartSha256, string TextSha256, int Epochs, int BatchSize, ulong Seed, double? LearningRate, double? SwitchingRate);
}
