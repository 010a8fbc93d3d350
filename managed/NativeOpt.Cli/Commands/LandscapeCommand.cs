using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using NativeOpt.Cli.Landscapes;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt landscape</c>.</summary>
internal sealed class LandscapeCommand : Command, IHaveExamples
{
    private const int MaxSteps = 20_000;

    private readonly Option<Landscape[]?> _landscapes = CommonOptions.Names(
        "--function",
        $"Functions of two parameters, of {string.Join(", ", Landscape.All.Select(static landscape => landscape.Name))}: "
        + string.Join("; ", Landscape.All.Select(static landscape => FormattableString.Invariant(
            $"{landscape.Name} is {landscape.Equation} for |x|, |y| ≤ {landscape.HalfWidth}"))) + ". Default: all.",
        static () => Landscape.All,
        static landscape => landscape.Name);

    private readonly Option<OptimizerRecipe[]?> _recipes = CommonOptions.Names(
        "--optimizer",
        $"Optimizers, of {Library.Names(static () => [.. OptimizerRecipe.WithoutDimer.Select(static recipe => recipe.Name)])}, "
        + $"or of these with a dimer around them: deo-{OptimizerPresets.Usual} and so on. Default: all without a dimer.",
        static () => OptimizerRecipe.All,
        static recipe => recipe.Name);

    private readonly Option<int?> _steps = CommonOptions.Integer(
        "--steps", $"Steps of each optimizer. Default: {LandscapePlan.DefaultSteps}.", 1, MaxSteps);

    private readonly Option<(double X, double Y)?> _start = new("--start")
    {
        Description = "Where all begin, on one function. Default: "
            + string.Join("; ", Landscape.All.Select(static landscape => FormattableString.Invariant(
                $"{landscape.Name} {landscape.DefaultStart.X},{landscape.DefaultStart.Y}"))) + ".",
        HelpName = "X,Y",
        CustomParser = ReadPoint,
    };

    private readonly Option<double?> _rateFactor = CommonOptions.Positive(
        "--rate-factor",
        "How many times the rule's default (nativeopt info --rules) each learning rate is. Default: "
        + FormattableString.Invariant($"{LandscapePlan.DefaultRateFactor}."));

    private readonly Option<double?> _learningRate = CommonOptions.Hyperparameter(
        "--learning-rate", OptimizerPresets.LearningRate, "The one learning rate of all optimizers. Default: see --rate-factor.");

    private readonly Option<double?> _noise = CommonOptions.Positive(
        "--noise",
        "The standard deviation of normal noise in each component of the gradient, in mean gradients; the same noise for all. "
        + "Default: 0.",
        orZero: true);

    private readonly Option<int?> _seed = CommonOptions.Integer(
        "--seed", "Selects the noise and the dimers' first directions. Default: 1.", 0);

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"Folder for {LandscapeFiles.Ends} (the table), {LandscapeFiles.Paths} (every step) and a picture of each "
            + "function. Default: none of them is written.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _json = CommonOptions.Json("the results");

    public LandscapeCommand(TextWriter output, TextWriter error)
        : base(
            "landscape",
            "Show the paths that optimizers take on functions of two parameters, and how sharp the minima are where they end. "
            + "All begin at the same point. The unit of length that an optimizer sees is half the side of the function's square, "
            + "and the unit of its gradients is the mean length of the gradient over the square, so that the same learning rates "
            + "suit every function; coordinates and losses are shown in the function's own units. Rules have their defaults, but "
            + "sgd has the momentum, and dualadam the switching rate, that they have in training; sophia is given the exact "
            + "diagonal of the Hessian. A run ends early when it leaves the square. Ctrl-C ends it without a result (exit code "
            + "130).")
    {
        Option[] options =
            [_landscapes, _recipes, _steps, _start, _rateFactor, _learningRate, _noise, _seed, _out, _json];
        foreach (Option option in options)
        {
            Add(option);
        }

        Add(new EscapeCommand(output, error));
        SetAction((parsed, stop) => Task.FromResult(
            Run(parsed, new Terminal(output, error, parsed.GetValue(_json)), stop)));
    }

    public string Examples => """
        Examples:
          nativeopt landscape --out landscapes
          nativeopt landscape --function eggholder --optimizer adam,invadam,dualadam --start 100,-200 --steps 2000
          nativeopt landscape --function sharp-flat --noise 1 --seed 7 --rate-factor 30 --out noisy
          nativeopt landscape --optimizer adam,deo-adam --json

        """;

    private int Run(ParseResult parsed, Terminal terminal, CancellationToken stop)
    {
        LandscapePlan plan = Plan(parsed);
        string? folder = parsed.GetValue(_out);
        OutputFiles.PrepareFolder(_out.Name, folder);

        var record = new RunRecord(parsed, plan);
        var view = new LandscapeView(terminal);
        IReadOnlyList<LandscapeRun> runs;
        try
        {
            runs = view.Watch(plan, (landscape, afterEach) => plan.Run(landscape, afterEach, stop));
        }
        catch (OperationCanceledException)
        {
            view.ShowCancelled();
            return ExitCode.Cancelled;
        }

        OutputFiles files = new();
        files.Publish(
            terminal,
            record,
            folder,
            () => LandscapeFiles.Of(plan, runs),
            () => Summary(plan, runs, folder),
            () => view.ShowResults(plan, runs));
        files.ThrowIfLost();
        return ExitCode.Success;
    }

    private LandscapePlan Plan(ParseResult parsed)
    {
        double? factor = parsed.GetValue(_rateFactor);
        var plan = new LandscapePlan
        {
            Landscapes = CommonOptions.Chosen(parsed, _landscapes, Landscape.All),
            Recipes = CommonOptions.Chosen(parsed, _recipes, OptimizerRecipe.WithoutDimer),
            Steps = parsed.GetValue(_steps) ?? LandscapePlan.DefaultSteps,
            Start = parsed.GetValue(_start),
            LearningRate = parsed.GetValue(_learningRate),
            RateFactor = factor ?? LandscapePlan.DefaultRateFactor,
            Noise = parsed.GetValue(_noise) ?? 0,
            Seed = (ulong)(parsed.GetValue(_seed) ?? 1),
        };
        if (plan.LearningRate is not null && factor is not null)
        {
            throw new UsageException("--learning-rate and --rate-factor exclude each other; leave one out.");
        }

        if (plan.Start is (double x, double y))
        {
            RequireStart(plan.Landscapes, x, y);
        }

        foreach (OptimizerRecipe recipe in plan.Recipes)
        {
            Hyperparameter rate = recipe.Preset.Rule.GetHyperparameter(OptimizerPresets.LearningRate);
            if (!rate.Allows(plan.Rate(recipe)))
            {
                string option = factor is null ? _learningRate.Name : _rateFactor.Name;
                throw new UsageException(FormattableString.Invariant(
                    $"{option}: the learning rate of {recipe.Name} would be {plan.Rate(recipe)}; it must be {rate.Range}."));
            }
        }

        return plan;
    }

    private static void RequireStart(IReadOnlyList<Landscape> landscapes, double x, double y)
    {
        if (landscapes is not [Landscape landscape])
        {
            throw new UsageException("--start: each function has points of its own; name one by --function, or leave the option out.");
        }

        if (!landscape.Contains(x, y))
        {
            throw new UsageException(FormattableString.Invariant(
                $"--start {x},{y}: on {landscape.Name} both must be from {-landscape.HalfWidth} to {landscape.HalfWidth}."));
        }
    }

    private static (double X, double Y)? ReadPoint(ArgumentResult result)
    {
        double[] numbers =
        [
            .. result.Tokens[0].Value.Split(',').Select(static text => double.TryParse(
                text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : double.NaN),
        ];
        if (numbers is [double x, double y] && double.IsFinite(x) && double.IsFinite(y))
        {
            return (x, y);
        }

        CommonOptions.Refuse(result, "write two numbers, separated by a comma");
        return null;
    }

    private static LandscapeSummary Summary(LandscapePlan plan, IReadOnlyList<LandscapeRun> runs, string? folder) => new(
        [.. plan.Landscapes.Select(landscape => new FunctionSummary(
            landscape.Name,
            landscape.Equation,
            landscape.HalfWidth,
            landscape.MeanGradient,
            [plan.StartOn(landscape).X, plan.StartOn(landscape).Y]))],
        plan.Steps,
        plan.LearningRate is null ? plan.RateFactor : null,
        plan.Noise,
        plan.Seed,
        [.. runs.Select(static run => new RunSummary(
            run.Landscape.Name,
            run.Recipe.Name,
            run.LearningRate,
            LandscapeFiles.Outcome(run),
            run.Steps,
            run.GradientEvaluations,
            run.End.X,
            run.End.Y,
            run.End.Loss,
            run.EndGradient,
            run.Sharpness))],
        folder is null ? null : Path.GetFullPath(folder));

    // The members of the JSON document.
    private sealed record LandscapeSummary(
        FunctionSummary[] Functions,
        int Steps,
        double? RateFactor,
        double Noise,
        ulong Seed,
        RunSummary[] Results,
        string? Folder);

    private sealed record FunctionSummary(string Name, string Equation, double HalfWidth, double MeanGradient, double[] Start);

    private sealed record RunSummary(
        string Function,
        string Optimizer,
        double LearningRate,
        string Outcome,
        int Steps,
        long GradientEvaluations,
        double X,
        double Y,
        double Loss,
        double GradientNorm,
        double Sharpness);
}
