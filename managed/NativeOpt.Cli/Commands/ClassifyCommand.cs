using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using NativeOpt.Cli.Classification;
using NativeOpt.Cli.Classification.Data;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt classify</c>.</summary>
internal sealed class ClassifyCommand : Command, IHaveExamples
{
    private const string OwnRates = "preset"; // of --learning-rates
    private const int MaxLayers = 8, MaxWidth = 8192, MaxSeeds = 1000;

    private readonly Option<string?> _data = new("--data")
    {
        Description = $"Folder of images: {ImageFolder.Names}; each may be compressed (.gz). Default: "
            + $"{SyntheticImages.Count} synthetic images of ten classes to train with, and as many to test with.",
        HelpName = "DIR",
    };

    private readonly Option<int?> _trainImages = CommonOptions.Integer(
        "--train-images", "Training images that are used; the seed selects which. Default: all.", ClassifierPlan.FewestImages);

    private readonly Option<double?> _labelNoise = new("--label-noise")
    {
        Description = "The part of the training labels that is replaced by a wrong one, at random. Default: "
            + FormattableString.Invariant($"0, and {SyntheticImages.LabelNoise} without --data."),
        HelpName = "X",
        CustomParser = ReadFraction,
    };

    private readonly Option<ClassifierOptimizer[]?> _compare = CommonOptions.Names(
        "--compare",
        $"Optimizers, of {Library.Names(static () => OptimizerPresets.Names)}. Default: {string.Join(',', ClassifierOptimizer.TableOne)}. "
        + "The first one is what the others are compared with.",
        static () => ClassifierOptimizer.All,
        static optimizer => optimizer.Name);

    private readonly Option<Func<IReadOnlyList<ClassifierOptimizer>>?> _sweep =
        CommonOptions.Choice<Func<IReadOnlyList<ClassifierOptimizer>>?>(
            "--sweep",
            "In place of --compare, variants of dualadam: its switching rate from 0 on, as a part of the run (ξ = c / steps is Adam alone "
            + "after 1 / c of it) and as its paper has it, or its three schedules, which give the inverse part the same total weight.",
            static () =>
            [
                ("switching-rate", static () => ClassifierOptimizer.SwitchingRates),
                ("switching", static () => ClassifierOptimizer.Schedules),
            ]);

    private readonly Option<GivenRates?> _learningRates = new("--learning-rates")
    {
        Description = "Learning rates that each optimizer tries, once each, on training images without a sixth that is held out, from a "
            + "seed of its own; the one that is best on these is used. A single one is used as it is; "
            + $"{OwnRates}: each optimizer's own, as in train. Default: {Join(ClassifierPlan.DefaultLearningRates)}.",
        HelpName = $"X,…|{OwnRates}",
        CustomParser = ReadRates,
    };

    private readonly Option<double?> _weightDecay = CommonOptions.Hyperparameter(
        "--weight-decay",
        OptimizerPresets.WeightDecay,
        "The weight decay of all, decoupled in adamw and dualadam and as the rule has it in others; biases do not decay. Default: each "
        + "optimizer's own, which is 0 of most.",
        orZero: true);

    private readonly Option<RateSchedule> _schedule = new("--schedule")
    {
        Description = "How the learning rate falls: cosine (to a thousandth), step (to a tenth after half of the run and a hundredth after "
            + "three quarters), or constant.",
        HelpName = "cosine|step|constant",
        DefaultValueFactory = static _ => RateSchedule.Cosine,
        CustomParser = ReadSchedule,
    };

    private readonly Option<int?> _seeds = CommonOptions.Integer(
        "--seeds", $"Runs of each optimizer, with seeds one after the other. Default: {ClassifierPlan.DefaultSeeds}.", 1, MaxSeeds);

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed",
        "The first of the seeds, each of which selects weights and batches. It also selects synthetic images, wrong labels, and the images "
        + "that are used and held out. Default: 1.",
        0);

    private readonly Option<int?> _epochs = CommonOptions.Integer(
        "--epochs", $"Passes over the training images. Default: {ClassifierPlan.DefaultEpochs}.", 1, 10_000);

    private readonly Option<int?> _batch = CommonOptions.Integer(
        "--batch", $"Images in a batch. Default: {ClassifierPlan.DefaultBatchSize}.", 1, 65_536);

    private readonly Option<int[]?> _hidden = new("--hidden")
    {
        Description = $"The widths of the hidden layers. Default: {string.Join(',', ClassifierPlan.DefaultHidden)}.",
        HelpName = "N,…",
        CustomParser = ReadWidths,
    };

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Runs that are done side by side, a thread each; results have the same bits with any number. Default: all.", 1, 1024);

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"Folder for {string.Join(", ", ClassifierFiles.All)} and {FinishedRuns<ClassifierRun>.FileName}, from which "
            + "--resume goes on. Default: none of them is written.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _resume = CommonOptions.Resume();

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public ClassifyCommand(TextWriter output, TextWriter error)
        : base(
            "classify",
            "Compare how well models generalise that optimizers have trained: a perceptron that learns to classify images, whose gradients "
            + "plain C# computes, with each optimizer from several seeds, in the form of Tables I, IV and V of DualAdam's paper (arXiv "
            + "2603.07122). Training accuracy, test accuracy and their difference, the generalisation gap, are those after the last epoch. "
            + "Every optimizer's learning rate is chosen in the same way (--learning-rates). Without --data it takes less than a minute on "
            + "two cores, with 10,000 images of Fashion-MNIST some five minutes, with all of them half an hour. Ctrl-C ends it with the "
            + "runs that are done (exit code 130); with --out, --resume goes on after them.")
    {
        Option[] options =
        [
            _data, _trainImages, _labelNoise, _compare, _sweep, _learningRates, _weightDecay, _schedule, _seeds, _seed, _epochs, _batch,
            _hidden, _threads, _out, _resume, _json,
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
          nativeopt classify
          nativeopt classify --data /usr/share/datasets/fashion-mnist --train-images 10000 --out table1
          nativeopt classify --data cifar-10-batches-bin --compare adam,sgd,dualadam --learning-rates 0.001,0.01 --seeds 3
          nativeopt classify --sweep switching-rate --out table4
          nativeopt classify --sweep switching --epochs 40 --out table5 --resume
          nativeopt classify --label-noise 0.3 --compare adam,adamw --weight-decay 0.1 --json

        Debian's package dataset-fashion-mnist has the images of the second one.

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        ClassifierPlan plan = Plan(parsed);
        string? folder = parsed.GetValue(_out);
        bool resumes = parsed.GetValue(_resume);
        CommonOptions.RequireFolder(_out.Name, folder, resumes);
        OutputFiles.PrepareFolder(_out.Name, folder);
        FinishedRuns<ClassifierRun>? finished =
            folder is null ? null : FinishedRuns<ClassifierRun>.Open(folder, resumes, plan.Identity);
        NativeRuntime.CpuThreads = 1; // of a step: runs are done side by side

        var record = new RunRecord(parsed, plan);
        var view = new ClassifierView(terminal);
        view.ShowHeader(plan);
        int done = 0;
        IReadOnlyList<ClassifierResult> results = view.Watch(
            plan,
            report => new ClassifierExperiment(
                plan,
                finished,
                (job, run) =>
                {
                    done++;
                    report(job, run);
                },
                stop).Run());

        bool isCancelled = done < plan.RunCount;
        OutputFiles files = new();
        if (results.Count > 0)
        {
            files.Publish(
                terminal,
                record with { End = isCancelled ? RunEnd.Cancelled : RunEnd.Completed },
                folder,
                () => ClassifierFiles.Of(plan, results),
                () => ClassifierSummary.Of(plan, results, folder),
                () => view.ShowResults(plan, results),
                finished?.Written);
        }

        if (isCancelled)
        {
            view.ShowCancelled(done, plan.RunCount);
        }

        OutputFiles.ThrowIfAnyLost(files.Lost, finished?.Lost);
        return isCancelled ? ExitCode.Cancelled : ExitCode.Success;
    }

    private ClassifierPlan Plan(ParseResult parsed)
    {
        ClassifierOptimizer[] compared = parsed.GetValue(_compare) ?? [];
        Func<IReadOnlyList<ClassifierOptimizer>>? sweep = parsed.GetValue(_sweep);
        if (compared.Length > 0 && sweep is not null)
        {
            throw new UsageException($"{_compare.Name} and {_sweep.Name} exclude each other; leave one out.");
        }

        GivenRates? rates = parsed.GetValue(_learningRates);
        IReadOnlyList<ClassifierOptimizer> optimizers = sweep is not null ? sweep()
            : compared.Length > 0 ? compared
            : [.. ClassifierOptimizer.TableOne.Select(static name => ClassifierOptimizer.All.First(own => own.Name == name))];
        foreach (ClassifierOptimizer optimizer in optimizers)
        {
            foreach (double rate in rates?.Rates ?? [])
            {
                CommonOptions.RequireLearningRate(_learningRates.Name, optimizer.Name, optimizer.Preset.Rule, rate);
            }
        }

        ulong seed = (ulong)(parsed.GetValue(_seed) ?? 1);
        string? folder = parsed.GetValue(_data);
        double noise = parsed.GetValue(_labelNoise) ?? (folder is null ? SyntheticImages.LabelNoise : 0);
        ImageData images = Read(folder, seed);
        int trainImages = parsed.GetValue(_trainImages) ?? images.Train.Count;
        if (images.Train.Count < ClassifierPlan.FewestImages)
        {
            throw new UsageException($"{_data.Name} {folder}: it has {images.Train.Count} training images, and {ClassifierPlan.FewestImages} are "
                + "the least; name another folder.");
        }

        if (trainImages > images.Train.Count)
        {
            throw new UsageException($"{_trainImages.Name} {trainImages}: there are {images.Train.Count}; name fewer, or leave it out.");
        }

        var plan = new ClassifierPlan
        {
            Images = images.WithLabelNoise(noise, seed),
            LabelNoise = noise,
            Optimizers = optimizers,
            LearningRates = rates is null ? ClassifierPlan.DefaultLearningRates : rates.Rates,
            TrainImages = trainImages,
            Seeds = parsed.GetValue(_seeds) ?? ClassifierPlan.DefaultSeeds,
            Seed = seed,
            Epochs = parsed.GetValue(_epochs) ?? ClassifierPlan.DefaultEpochs,
            BatchSize = parsed.GetValue(_batch) ?? ClassifierPlan.DefaultBatchSize,
            Hidden = parsed.GetValue(_hidden) is { Length: > 0 } hidden ? hidden : ClassifierPlan.DefaultHidden,
            Schedule = parsed.GetValue(_schedule),
            WeightDecay = parsed.GetValue(_weightDecay),
            Threads = parsed.GetValue(_threads) ?? Environment.ProcessorCount,
        };
        return plan.ParameterCount <= ClassifierPlan.MostParameters
            ? plan
            : throw new UsageException(
                $"{_hidden.Name}: with images of {images.Train.Features:N0} numbers the model has {plan.ParameterCount:N0} parameters, and "
                + $"{ClassifierPlan.MostParameters:N0} are the most; choose narrower layers, or smaller images.");
    }

    private ImageData Read(string? folder, ulong seed)
    {
        if (folder is null)
        {
            return SyntheticImages.Make(seed);
        }

        try
        {
            return ImageFolder.Read(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException or ArgumentException)
        {
            throw new UsageException($"{_data.Name} {folder}: {error.Message} Name a folder with whole files of images.");
        }
    }

    private static double? ReadFraction(ArgumentResult result)
    {
        if (double.TryParse(result.Tokens[0].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && value is >= 0 and <= 1)
        {
            return value;
        }

        CommonOptions.Refuse(result, "write a number from 0 to 1");
        return null;
    }

    private static RateSchedule ReadSchedule(ArgumentResult result)
    {
        RateSchedule[] all = Enum.GetValues<RateSchedule>();
        int found = Array.FindIndex(all, own => CommonOptions.Name(own) == result.Tokens[0].Value);
        if (found < 0)
        {
            CommonOptions.Refuse(result, $"write {string.Join(" or ", all.Select(CommonOptions.Name))}");
        }

        return all[Math.Max(0, found)];
    }

    private static GivenRates? ReadRates(ArgumentResult result)
    {
        if (result.Tokens[0].Value == OwnRates)
        {
            return new GivenRates(null);
        }

        double[] rates =
        [
            .. result.Tokens[0].Value.Split(',').Select(static text => double.TryParse(
                text, NumberStyles.Float, CultureInfo.InvariantCulture, out double rate) ? rate : double.NaN),
        ];
        if (rates.All(static rate => rate > 0 && double.IsFinite(rate)) && rates.Distinct().Count() == rates.Length)
        {
            return new GivenRates([.. rates.Order()]);
        }

        CommonOptions.Refuse(result, $"write numbers above 0, each once, separated by commas, or {OwnRates}");
        return null;
    }

    private static int[]? ReadWidths(ArgumentResult result)
    {
        if (result.Tokens.Count == 0)
        {
            return [];
        }

        int[] widths =
        [
            .. result.Tokens[0].Value.Split(',').Select(static text => int.TryParse(
                text, NumberStyles.None, CultureInfo.InvariantCulture, out int width) ? width : 0),
        ];
        if (widths.Length <= MaxLayers && Array.TrueForAll(widths, static width => width is >= 1 and <= MaxWidth))
        {
            return widths;
        }

        CommonOptions.Refuse(result, $"write at most {MaxLayers} whole numbers from 1 to {MaxWidth}, separated by commas");
        return null;
    }

    private static string Join(IEnumerable<double> numbers) =>
        string.Join(',', numbers.Select(static number => number.ToString(CultureInfo.InvariantCulture)));

    // No rates: each optimizer's own.
    private sealed record GivenRates(IReadOnlyList<double>? Rates);
}
