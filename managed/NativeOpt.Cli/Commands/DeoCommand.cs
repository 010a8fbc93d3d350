using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using NativeOpt.Cli.Deo;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt deo</c>.</summary>
internal sealed class DeoCommand : Command, IHaveExamples
{
    // What the paper puts a dimer around, with Sophia, which it leaves open.
    private static readonly string[] _usual = ["adam", "adamw", "sgd", "sophia"];

    private readonly Option<string?> _text = new("--text")
    {
        Description = "The text to learn, UTF-8. Default: the documentation and sources of NativeOpt itself.",
        HelpName = "FILE",
    };

    private readonly Option<OptimizerPreset[]?> _rules = CommonOptions.Names<OptimizerPreset>(
        "--optimizer",
        $"Update rules, of {Library.Names(static () => [.. OptimizerPresets.OfOneCall.Select(static preset => preset.Name)])}. "
            + $"Default: {string.Join(',', _usual)}.",
        static () => [.. OptimizerPresets.OfOneCall],
        static preset => preset.Name);

    private readonly Option<DeoVariant[]?> _dimers = CommonOptions.Names(
        "--dimer",
        $"Dimers around each rule, of {string.Join(", ", DeoVariant.Dimers.Select(static dimer => dimer.Name))}: the paper's settings, and "
            + "the optimal angle with the escape correction. Default: both. Each rule runs without a dimer, too.",
        static () => DeoVariant.Dimers,
        static dimer => dimer.Name);

    private readonly Option<string?> _sweep = new("--sweep")
    {
        Description = "Vary one setting of each dimer: interval (f of 5, 10, 20), alpha (α of 1, 2, 5, 10) or displacement (ΔR of 0.001, "
            + "0.01, 0.1).",
        HelpName = string.Join('|', DeoVariant.Sweeps.Select(static sweep => sweep.Name)),
    };

    private readonly Option<double?> _alphaScale = CommonOptions.Positive(
        "--alpha-schedule",
        "Let α follow the measured curvature C: α·max(0, -C)/(|C| + X). Default: α stays as it is.");

    private readonly Option<bool> _activateOnSpike = new("--activate-on-spike")
    {
        Description = $"Let dimers wait for spikes of the training loss, and be active for {new SpikeActivation().Steps} steps after each.",
    };

    private readonly Option<double[]?> _learningRates = new("--learning-rates")
    {
        Description = "Learning rates of all runs. Default: 1, 3, 10 and 30 times the rule's own in training, up to where most become unstable; "
            + "3 times it for the model deo.",
        HelpName = "X,…",
        CustomParser = static result => ReadRates(result),
    };

    private readonly Option<int?> _seeds = CommonOptions.Integer("--seeds", "Seeds of each run, from 1 on. Default: 3.", 1, 100);

    private readonly Option<int?> _gradients = CommonOptions.Integer(
        "--gradients",
        "Gradients of each run, those of dimers and of Sophia's estimates included. Default: "
            + $"{string.Join(", ", DeoShape.All.Select(static shape => $"{shape.Name} {shape.Gradients}"))}.",
        1);

    private readonly Option<string> _model = new("--model")
    {
        Description = "tiny (4 layers of 32 channels), small (2 of 128), or deo, the paper's shape (8 layers, 8 heads, 256 channels).",
        HelpName = string.Join('|', DeoShape.All.Select(static shape => shape.Name)),
        DefaultValueFactory = static _ => DeoShape.All[0].Name,
    };

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Runs at a time, of one thread each; the results are the same with any number. Default: all processors.", 1, 1024);

    private readonly Option<string> _out = new("--out")
    {
        Description = $"Folder for the tables {DeoFiles.Table}, {DeoFiles.Runs}, {DeoFiles.Text} and {DeoFiles.Times}, for pictures, and for "
            + "what --resume needs.",
        HelpName = "DIR",
        DefaultValueFactory = static _ => "nativeopt-deo",
    };

    private readonly Option<bool> _resume = CommonOptions.Resume();

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public DeoCommand(TextWriter output, TextWriter error)
        : base(
            "deo",
            "Run the protocol of the DEO paper (arXiv 2507.19968): train a character-level GPT with each rule, with and without a dimer, count the "
            + "spikes of the training loss, and compare final losses after the same number of gradients, and in the same time "
            + $"({DeoFiles.Times}). Sophia is given Gauss-Newton-Bartlett estimates every 10 steps. Every learning rate of the grid is "
            + "reported. It takes some minutes on two cores with the model tiny, half an hour with small, and an hour with deo. Ctrl-C ends it "
            + "early, with the runs that are done (exit code 130).")
    {
        _model.AcceptOnlyFromAmong([.. DeoShape.All.Select(static shape => shape.Name)]);
        _sweep.AcceptOnlyFromAmong([.. DeoVariant.Sweeps.Select(static sweep => sweep.Name)]);
        Option[] options =
        [
            _text, _rules, _dimers, _sweep, _alphaScale, _activateOnSpike, _learningRates, _seeds, _gradients, _model, _threads, _out, _resume,
            _json,
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
          nativeopt deo
          nativeopt deo --model deo --out deo-paper
          nativeopt deo --model deo --out deo-paper --resume
          nativeopt deo --optimizer adam --dimer published --sweep interval
          nativeopt deo --dimer recommended --activate-on-spike --alpha-schedule 1
          nativeopt deo --optimizer adam,sgd --learning-rates 0.01,0.03,0.1 --seeds 5 --json

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        DeoShape shape = DeoShape.All.Single(own => own.Name == parsed.GetValue(_model));
        TextDataset data = TrainCommand.ReadText(parsed.GetValue(_text), shape.Model, out string textName, out GptConfig model);
        double? alphaScale = parsed.GetValue(_alphaScale);
        OptimizerPreset[] usual = [.. _usual.Select(static name => OptimizerPresets.Find(name)!)];
        var plan = new DeoPlan
        {
            Shape = shape,
            Model = model,
            Rules = [.. CommonOptions.Chosen(parsed, _rules, usual).Select(DeoPlan.Suited)],
            Variants = [DeoVariant.None, .. Variants(parsed, alphaScale)],
            LearningRates = parsed.GetValue(_learningRates) is { Length: > 0 } rates ? rates : null,
            Seeds = parsed.GetValue(_seeds) ?? shape.Seeds,
            Gradients = parsed.GetValue(_gradients) ?? shape.Gradients,
            Threads = parsed.GetValue(_threads) ?? Environment.ProcessorCount,
        };
        foreach (OptimizerPreset rule in plan.Rules)
        {
            foreach (double rate in plan.Rates(rule))
            {
                CommonOptions.RequireLearningRate(_learningRates.Name, rule.Name, rule.Rule, rate);
            }
        }

        string folder = parsed.GetValue(_out)!;
        OutputFiles.PrepareFolder(_out.Name, folder);
        FinishedRuns<DeoRun> finished =
            FinishedRuns<DeoRun>.Open(folder, parsed.GetValue(_resume), plan.Identity(data, alphaScale));

        var record = new RunRecord(parsed, plan);
        var view = new DeoView(terminal);
        view.ShowHeader(textName, data, plan);
        var results = new DeoResults(
            plan, view.Watch(plan.Jobs.Count, afterEach => new DeoRunner(plan, data, finished).Run(afterEach, stop)));
        OutputFiles files = new();
        files.Publish(
            terminal,
            record with { End = stop.IsCancellationRequested ? RunEnd.Cancelled : RunEnd.Completed },
            plan.Jobs.Any(job => finished.Find(job.Name) is not null) ? folder : null,
            () => DeoFiles.Of(results),
            () => DeoSummary.Of(textName, results, folder),
            () => view.ShowResults(results),
            finished.Written);
        OutputFiles.ThrowIfAnyLost(files.Lost, finished.Lost);
        return stop.IsCancellationRequested ? ExitCode.Cancelled : ExitCode.Success;
    }

    private IEnumerable<DeoVariant> Variants(ParseResult parsed, double? alphaScale)
    {
        IReadOnlyList<DeoVariant> dimers = CommonOptions.Chosen(parsed, _dimers, DeoVariant.Dimers);
        string? sweep = parsed.GetValue(_sweep);
        return (sweep is null ? dimers : dimers.SelectMany(DeoVariant.Sweeps.Single(own => own.Name == sweep).Of)).Select(dimer => dimer with
        {
            Options = dimer.Options! with
            {
                ActivateOnSpike = parsed.GetValue(_activateOnSpike) ? new SpikeActivation() : null,
                AlphaSchedule = alphaScale is double scale
                    ? DimerOptions.NegativeCurvatureAlpha(dimer.Options.Alpha, scale) : null,
            },
        });
    }

    private static double[]? ReadRates(ArgumentResult result)
    {
        if (result.Tokens.Count == 0)
        {
            return [];
        }

        string[] texts = result.Tokens[0].Value.Split(',');
        double[] rates = new double[texts.Length];
        for (int i = 0; i < texts.Length; i++)
        {
            if (!double.TryParse(texts[i], NumberStyles.Float, CultureInfo.InvariantCulture, out rates[i])
                || !(rates[i] > 0) || !double.IsFinite(rates[i]) || rates.AsSpan(0, i).Contains(rates[i]))
            {
                CommonOptions.Refuse(result, "write finite numbers above 0, each once, separated by commas");
                return null;
            }
        }

        return rates;
    }
}
