using System.CommandLine;
using System.CommandLine.Parsing;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt train</c>.</summary>
internal sealed class TrainCommand : Command, IHaveExamples
{
    private const string DefaultFolder = "nativeopt-train";

    private const string AllOptimizers = "all"; // of --compare

    // Validations of one run (fewer of a short one), and windows in each: a smooth line for a few per cent of the time.
    private const int Validations = 25;
    private const int ValidationWindows = 128;

    private readonly Option<string?> _text = new("--text")
    {
        Description = "The text to learn, UTF-8. Default: the documentation and sources of NativeOpt itself.",
        HelpName = "FILE",
    };

    private readonly Option<OptimizerRecipe?> _optimizer = new("--optimizer")
    {
        Description =
            $"One of {Library.Names(static () => [.. OptimizerPresets.OfOneCall.Select(static preset => preset.Name)])}, "
            + "or one of these with a dimer around it: "
            + $"deo-{OptimizerPresets.Usual} and so on. Default: {OptimizerPresets.UsualOfTraining}.",
        HelpName = "NAME",
        CustomParser = static result => ReadNames(result, result.Tokens[0].Value) is [var recipe] ? recipe : null,
    };

    private readonly Option<OptimizerRecipe[]?> _compare = new("--compare")
    {
        Description = "Train once with each of these optimizers, from the same weights and on the same batches; "
            + $"{AllOptimizers}: with each one without a dimer.",
        HelpName = $"A,B,…|{AllOptimizers}",
        CustomParser = static result => result.Tokens[0].Value == AllOptimizers
            ? [.. OptimizerRecipe.WithoutDimer] : ReadNames(result, result.Tokens[0].Value.Split(',')),
    };

    private readonly Option<int?> _steps = CommonOptions.Integer(
        "--steps",
        $"Optimizer steps. Default: {TrainingSchedule.Default.Steps}, with --compare {TrainingSchedule.Compare.Steps}.",
        1);

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed", "Selects weights, batches and sample. Default: 1.", 0);

    private readonly Option<double?> _learningRate = CommonOptions.Hyperparameter(
        "--learning-rate",
        OptimizerPresets.LearningRate,
        "The peak learning rate, after the warm-up. Default: "
        + Library.Names(static () => [.. OptimizerRecipe.All.Where(static recipe => !recipe.HasDimer).Select(
            static recipe => FormattableString.Invariant($"{recipe.Name} {recipe.LearningRate}"))])
        + ", with or without a dimer.");

    private readonly Option<double?> _switchingRate = CommonOptions.Hyperparameter(
        "--switching-rate",
        OptimizerPresets.SwitchingRate,
        "How much of dualadam's inverse part ends with each step. Default: 4 / steps, so that it is Adam alone after a "
        + "quarter of the run. The 8e-5 of its paper takes 12,500 steps for that; until then it hardly moves this model, "
        + "since its gradients are small and the inverse part multiplies by their size.",
        orZero: true);

    private readonly Option<DimerOptions?> _dimer = CommonOptions.Dimer(
        "Settings of the dimer of deo-* optimizers: the paper's, or the optimal angle and the escape correction. "
        + "Its gradients at displaced parameters are counted. Default: recommended.");

    private readonly Option<int?> _dimerInterval = CommonOptions.Integer(
        "--dimer-interval",
        $"Steps from one update of the dimer to the next. Default: {DimerOptions.Recommended.Interval}.",
        1);

    private readonly Option<DType?> _dtype = CommonOptions.DType(
        "--dtype",
        "The element type of the parameters that the optimizer steps. With bfloat16 the model computes in float32 with what "
        + "they are, and gradients are rounded to bfloat16; so are the parameters that a dimer displaces, which makes "
        + "the curvatures of deo-* inexact. Default: float32.",
        static () => [DType.Float32, DType.BFloat16]); // what the trainer rounds to

    private readonly Option<MasterWeights?> _master = CommonOptions.Master(
        "What is kept of bfloat16 parameters beyond their 16 bits: the 16 that they lack of a float32, a float32 copy (the "
        + "same losses, bit for bit, in more memory), or nothing. Default: remainder.");

    private readonly Option<bool> _stochasticRounding = new("--stochastic-rounding")
    {
        Description = "With --master none: round parameters up or down at random, right on average, and not to nearest.",
    };

    private readonly Option<DType?> _stateType = CommonOptions.StateType();

    private readonly Option<bool> _stochasticRoundingStates = new("--stochastic-rounding-states")
    {
        Description = "With --state-dtype bfloat16: round states up or down at random, right on average, and not to nearest.",
    };

    private readonly Option<int?> _minDynamic8ElementCount = CommonOptions.MinDynamic8ElementCount();

    private readonly Option<string> _model = new("--model")
    {
        Description = "small (0.4 million parameters) or tiny (for a quick look).",
        HelpName = "small|tiny",
        DefaultValueFactory = static _ => "small",
    };

    private readonly Option<Device> _device = CommonOptions.Device();

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Threads of model and optimizer; the losses have the same bits with any number. Default: all.", 1, 1024);

    private readonly Option<string> _out = new("--out")
    {
        Description = $"Folder for {TrainingFiles.Csv}, {TrainingFiles.Svg} and {TrainingFiles.Sample}.",
        HelpName = "DIR",
        DefaultValueFactory = static _ => DefaultFolder,
    };

    private readonly Option<bool> _save = new("--save")
    {
        Description = $"Keep the trained model in the folder, too: {TrainingFiles.Model("NAME")} for each optimizer, which "
            + "nativeopt hessian reads.",
    };

    private readonly Option<bool> _resume = CommonOptions.Resume();

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public TrainCommand(TextWriter output, TextWriter error)
        : base(
            "train",
            "Train a small character-level GPT, whose gradients plain C# computes, with an optimizer of NativeOpt. "
            + "Ctrl-C ends it early, with what there is (exit code 130), and --resume goes on from there: the losses have the same "
            + "bits as if it had never been stopped. The exit code is 1 if a loss became infinite or NaN, or a file could not be "
            + "written.")
    {
        _model.AcceptOnlyFromAmong("small", "tiny");
        Option[] options =
        [
            _text, _optimizer, _compare, _steps, _seed, _learningRate, _switchingRate, _dimer, _dimerInterval, _dtype, _master,
            _stochasticRounding, _stateType, _stochasticRoundingStates, _minDynamic8ElementCount, _model, _device, _threads, _out, _save,
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
          nativeopt train
          nativeopt train --compare adam,adamw,dualadam --steps 300
          nativeopt train --compare all --resume
          nativeopt train --compare adam,invadam,dualadam --save --out solutions
          nativeopt train --text book.txt --optimizer dualadam --switching-rate 0.002 --out book
          nativeopt train --compare adam,deo-adam --steps 300 --dimer-interval 20
          nativeopt train --compare adam,sgd --dtype bfloat16 --master none --stochastic-rounding
          nativeopt train --compare adam,invadam --state-dtype dynamic8 --min-dynamic8-elements 0
          nativeopt train --model tiny --steps 100 --json

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        OptimizerRecipe[] recipes = Recipes(parsed);
        double? switchingRate = parsed.GetValue(_switchingRate);
        CommonOptions.RequireSwitchingRate(_switchingRate.Name, recipes, switchingRate);
        if (!recipes.Any(static recipe => recipe.HasDimer)
            && (parsed.GetValue(_dimer) is not null || parsed.GetValue(_dimerInterval) is not null))
        {
            throw new UsageException("--dimer and --dimer-interval: only deo-* optimizers have one; use one of them, or leave "
                + "the options out.");
        }

        int? seed = parsed.GetValue(_seed);
        TrainingPrecision precision = Precision(parsed, (ulong)(seed ?? 1));
        Array.ForEach(recipes, recipe => recipe.Preset.RequireStateType(precision.StateType));
        Device device = parsed.GetValue(_device);
        CommonOptions.Require(device);
        bool isTiny = parsed.GetValue(_model) == "tiny";
        TextDataset data = ReadText(
            parsed.GetValue(_text), isTiny ? GptConfig.Tiny : GptConfig.Default, out string textName, out GptConfig model);
        TrainingSchedule schedule = Schedule(parsed);
        var plan = new TrainingPlan(model, schedule)
        {
            Seed = (ulong)(seed ?? 1),
            Threads = parsed.GetValue(_threads),
            Dimer = Dimer(parsed),
            Precision = precision,
            Device = device,
            ValidationInterval = Math.Max(10, schedule.Steps / Validations),
            ValidationBatches = ValidationWindows / schedule.BatchSize,
        };
        foreach (OptimizerRecipe recipe in recipes)
        {
            CommonOptions.RequireLearningRate(_learningRate.Name, recipe.Name, recipe.Preset.Rule, parsed.GetValue(_learningRate));
        }

        string folder = parsed.GetValue(_out)!;
        OutputFiles.PrepareFolder(_out.Name, folder);

        var record = new RunRecord(parsed, plan, device);
        var view = new TrainingView(terminal);
        var session = new TrainingSession(plan, textName, data)
        {
            Recipes = recipes,
            LearningRate = parsed.GetValue(_learningRate),
            SwitchingRate = switchingRate,
            Folder = folder,
            KeepsModels = parsed.GetValue(_save),
        };
        session.Open(parsed.GetValue(_resume));
        view.ShowHeader(textName, data, plan, session.ParameterCount);
        session.Run(view, stop);
        bool hasDiverged = session.Runs.Exists(static run => run.End == TrainingEnd.Diverged);
        TrainingSummary summary = TrainingSummary.Of(textName, data, plan, session.ParameterCount, folder, session.Runs);
        session.WriteRecord(
            record with
            {
                End = session.Fault is not null || hasDiverged ? RunEnd.Failed
                    : stop.IsCancellationRequested ? RunEnd.Cancelled : RunEnd.Completed,
                Message = session.Fault
                    ?? session.Runs.Select(TrainingView.Explain).FirstOrDefault(static why => why is not null),
            },
            summary);
        if (terminal.IsJson)
        {
            terminal.WriteJson(summary);
        }
        else
        {
            view.ShowResults(data.UnigramEntropy, precision, session.Runs);
            view.ShowSample(session.Runs.MinBy(static run => run.ValidationLoss ?? double.PositiveInfinity)!);
            terminal.ShowFiles(folder, session.Written);
        }

        session.ThrowIfFailed();
        return stop.IsCancellationRequested ? ExitCode.Cancelled
            : hasDiverged ? ExitCode.Failure
            : ExitCode.Success;
    }

    private DimerOptions Dimer(ParseResult parsed)
    {
        DimerOptions options = parsed.GetValue(_dimer) ?? DimerOptions.Recommended;
        return parsed.GetValue(_dimerInterval) is int interval ? options with { Interval = interval } : options;
    }

    private TrainingPrecision Precision(ParseResult parsed, ulong seed)
    {
        (DType stateType, long? minimum) = CommonOptions.States(parsed, _stateType, _minDynamic8ElementCount);
        bool isStochastic = parsed.GetValue(_stochasticRoundingStates);
        if (isStochastic && stateType != DType.BFloat16)
        {
            throw new UsageException("--stochastic-rounding-states: states of "
                + $"{CommonOptions.Name(stateType)} are not rounded at random; add --state-dtype bfloat16, or leave the option out.");
        }

        return ParameterPrecision(parsed) with
        {
            StateType = stateType,
            MinDynamic8ElementCount = minimum,
            StochasticRoundingStates = isStochastic,
            RoundingSeed = seed,
        };
    }

    private TrainingPrecision ParameterPrecision(ParseResult parsed)
    {
        MasterWeights? master = parsed.GetValue(_master);
        bool isStochastic = parsed.GetValue(_stochasticRounding);
        if (parsed.GetValue(_dtype) is not DType.BFloat16)
        {
            return master is null && !isStochastic
                ? TrainingPrecision.Float32
                : throw new UsageException("--master and --stochastic-rounding: float32 parameters lack no bits; use "
                    + "--dtype bfloat16, or leave the options out.");
        }

        if (isStochastic && master != MasterWeights.None)
        {
            throw new UsageException("--stochastic-rounding: with master weights nothing is lost by rounding to nearest; add "
                + "--master none, or leave the option out.");
        }

        return new TrainingPrecision(DType.BFloat16, master ?? MasterWeights.Remainder, isStochastic);
    }

    private OptimizerRecipe[] Recipes(ParseResult parsed)
    {
        OptimizerRecipe? one = parsed.GetValue(_optimizer);
        OptimizerRecipe[]? several = Compared(parsed);
        if (one is not null && several is not null)
        {
            throw new UsageException("--optimizer and --compare exclude each other; leave one out.");
        }

        return several ?? [one ?? OptimizerRecipe.All.Single(static recipe => recipe.Name == OptimizerPresets.UsualOfTraining)];
    }

    // An option that is not there has an empty array as its value.
    private OptimizerRecipe[]? Compared(ParseResult parsed) =>
        parsed.GetValue(_compare) is { Length: > 0 } recipes ? recipes : null;

    private static OptimizerRecipe[]? ReadNames(ArgumentResult result, params string[] names)
    {
        IReadOnlyList<OptimizerRecipe> all = OptimizerRecipe.All;
        OptimizerRecipe?[] recipes = [.. names.Select(name => all.FirstOrDefault(recipe => recipe.Name == name))];
        if (recipes.Contains(null) || recipes.Distinct().Count() < recipes.Length)
        {
            string several = result.Parent is OptionResult { Option.Name: "--compare" }
                ? $", separated by commas, or write {AllOptimizers}" : "";
            string known = string.Join(", ", all.Select(static recipe => recipe.Name));
            CommonOptions.Refuse(result, $"the optimizers are {known}; name each once{several}");
            return null;
        }

        return recipes!;
    }

    /// <summary>Reads the text of <c>--text</c>, or the one without it.</summary>
    /// <param name="file">Its path; null: this repository's text.</param>
    /// <param name="shape">The model for a size of the vocabulary.</param>
    /// <param name="name">What people call the text.</param>
    /// <param name="model">The model for it.</param>
    /// <exception cref="UsageException">It cannot be read, or is too short.</exception>
    internal static TextDataset ReadText(string? file, Func<int, GptConfig> shape, out string name, out GptConfig model)
    {
        name = file is null ? "the sources of NativeOpt" : Path.GetFileName(file);
        try
        {
            string text = file is null ? RepositoryText.Read() : File.ReadAllText(file);
            var data = new TextDataset(text, shape(1).ContextLength);
            model = shape(data.Tokenizer.VocabularySize);
            return data;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"--text {file}: {error.Message} Name a readable text file that is long enough.");
        }
    }

    private TrainingSchedule Schedule(ParseResult parsed) =>
        (Compared(parsed) is null ? TrainingSchedule.Default : TrainingSchedule.Compare).Of(parsed.GetValue(_steps));
}
