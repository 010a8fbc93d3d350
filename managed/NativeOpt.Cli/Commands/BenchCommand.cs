using System.CommandLine;
using System.Globalization;
using NativeOpt.Cli.Benchmarks;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Shapes;

namespace NativeOpt.Cli.Commands;

/// <summary><c>nativeopt bench</c>.</summary>
internal sealed class BenchCommand : Command, IHaveExamples
{
    private const int MaxThreads = 1024;

    private readonly Option<Device> _device = CommonOptions.Device();

    private readonly Option<BenchRule[]?> _rules = CommonOptions.Names(
        "--rules",
        $"What is timed, of {Library.Names(static () => [.. OptimizerPresets.WithStates.Select(static preset => preset.Name)])}; "
        + "deo-NAME-cached: a step of any of them with a dimer that keeps its direction; deo-NAME-update: one that turns it; "
        + $"{BenchRule.DisplacementName}: a displacement. Default: "
        + $"{Library.Names(static () => [.. BenchRule.Default.Select(static rule => rule.Name)])}.",
        static () => BenchRule.All,
        static rule => rule.Name);

    private readonly Option<ModelShape[]?> _shapes = new("--shapes")
    {
        Description = $"Sizes of the tensors, separated by commas: {string.Join(", ", ModelShape.KnownNames)}, or COUNTxSIZE, "
            + "so many tensors of so many elements; 10x64+1x1000 has both kinds. Default: gpt2.",
        HelpName = "SHAPE,…",
        CustomParser = static result =>
        {
            ModelShape?[] shapes = [.. result.Tokens[0].Value.Split(',').Select(static text =>
                ModelShape.TryParse(text.Replace('+', ',')) is { } shape ? shape with { Name = text } : null)];
            if (shapes.Contains(null) || shapes.DistinctBy(static shape => shape!.Name).Count() < shapes.Length)
            {
                CommonOptions.Refuse(
                    result,
                    $"write {string.Join(", ", ModelShape.KnownNames)} or COUNTxSIZE, as 100x4096; each once, separated by "
                    + $"commas; {ModelShape.Bounds}");
                return null;
            }

            return shapes!;
        },
    };

    private readonly Option<DType?> _dtype = CommonOptions.ParameterType();

    private readonly Option<MasterWeights?> _master = CommonOptions.Master(
        "What is kept of parameters of 16 bits beyond these. Default: none.");

    private readonly Option<DType?> _stateType = CommonOptions.DType(
        "--state-dtype",
        "The element type of the states. dynamic8: 8 bits in blocks that share a scale; tensors of fewer than "
        + $"{new AdamOptions().MinDynamic8ElementCount} elements keep float32. Default: float32.",
        static () => LibraryRoles.StateTypes);

    private readonly Option<bool> _stochasticRounding = new("--stochastic-rounding")
    {
        Description = "Round bfloat16 parameters without --master, and bfloat16 states, at random.",
    };

    private readonly Option<int?> _threads = CommonOptions.Integer(
        "--threads", "Threads of a step on the CPU, and of the floor. Default: the processors available.", 1, MaxThreads);

    private readonly Option<int?> _rounds = CommonOptions.Integer(
        "--rounds", $"Rounds in which everything has one turn, at most. Default: {BenchSettings.DefaultRounds}.", 1, 1000);

    private readonly Option<double?> _limit = CommonOptions.Positive(
        "--limit",
        FormattableString.Invariant(
            $"Seconds after which a row begins no other round. Default: {BenchSettings.DefaultLimit}."),
        orZero: true);

    private readonly Option<bool> _noPeers = new("--no-peers")
    {
        Description = "Leave out the loops of a .NET developer (loop, unfused), which take most of the time.",
    };

    private readonly Option<string[]?> _compare = new("--compare")
    {
        Description = "Measure nothing: compare two results files. The exit code is 1 if anything takes longer by more than the "
            + "larger of its two spreads.",
        HelpName = "OLD NEW",
        Arity = new ArgumentArity(2, 2),
        AllowMultipleArgumentsPerToken = true,
    };

    private readonly Option<string?> _out = new("--out")
    {
        Description = $"Folder for {BenchFiles.Json}, {BenchFiles.Markdown} (with the machine) and {BenchFiles.Picture}; and "
            + $"{BenchFiles.SizesPicture}, the time of an element over the sizes, if a rule has {BenchFiles.FewestSizes} or more "
            + $"sizes of one tensor (the first {BenchFiles.MostPanels} such rules). Default: none of them is written.",
        HelpName = "DIR",
    };

    private readonly Option<string?> _json = new("--json")
    {
        Description = "Print the results as JSON, and nothing else; or write them to a file.",
        HelpName = "FILE",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public BenchCommand(TextWriter output, TextWriter error, MeasureRow? measure = null)
        : base(
            "bench",
            "Time optimizer steps beside their floor, a loop on as many threads that only moves the same bytes, and beside what "
            + "a C# loop and operations on whole arrays take on one thread, for rules that somebody wrote these for. All of them work on the same buffers and have one "
            + "turn in each round, in changing order; the medians of the rounds are shown. Gradients are not written in between. "
            + "The peers' parameters are compared with NativeOpt's first. Ctrl-C ends it with what there is (exit code 130).")
    {
        Option[] options =
        [
            _device, _rules, _shapes, _dtype, _master, _stateType, _stochasticRounding, _threads, _rounds, _limit, _noPeers, _json, _out, _compare,
        ];
        foreach (Option option in options)
        {
            Add(option);
        }

        SetAction((parsed, stop) =>
        {
            bool isJson = parsed.GetResult(_json) is not null && parsed.GetValue(_json) is null;
            var terminal = new Terminal(output, error, isJson);
            return Task.FromResult(
                parsed.GetValue(_compare) is { Length: > 0 } files
                    ? Compare(parsed, files, terminal)
                    : Run(parsed, terminal, measure, stop));
        });
    }

    public string Examples => """
        Examples:
          nativeopt bench
          nativeopt bench --rules adam,adamw --shapes gpt2,many-small --out results
          nativeopt bench --shapes 1000x100,1x16777216 --threads 1 --json results.json
          nativeopt bench --rules adam --shapes 1x1,1x64,1x4096,1x262144,1x16777216 --out sizes
          nativeopt bench --dtype bfloat16 --master remainder --rules adamw --shapes resnet50
          nativeopt bench --dtype bfloat16 --state-dtype bfloat16 --stochastic-rounding --rules adam
          nativeopt bench --compare old/bench.json new/bench.json

        docs/benchmarks.md says what the columns mean.

        """;

    private int Run(ParseResult parsed, Terminal terminal, MeasureRow? measure, CancellationToken stop)
    {
        BenchCase[] rows = Rows(parsed);
        Require(rows);
        var settings = new BenchSettings(
            parsed.GetValue(_rounds) ?? BenchSettings.DefaultRounds, parsed.GetValue(_limit) ?? BenchSettings.DefaultLimit);
        measure ??= new BenchRun(settings).Measure;
        string? folder = parsed.GetValue(_out);
        string? file = parsed.GetValue(_json);
        OutputFiles.PrepareFolder(_out.Name, folder);
        OutputFiles.PrepareFile(_json.Name, file);

        var record = new RunRecord(parsed, new BenchPlan(rows, settings), rows[0].Device);
        IReadOnlyList<(string, string)> machine = Machine.Describe(rows[0].Device);
        var view = new BenchView(terminal);
        view.ShowHeader(machine, rows);
        string? fault = null;
        IReadOnlyList<BenchResult> results = view.Watch(rows, (row, progress) =>
        {
            try
            {
                return stop.IsCancellationRequested ? null : measure(row, progress, stop);
            }
            catch (Exception error)
            {
                fault = $"{row.Rule.Name}, {row.Shape.Name}: {error.Message}";
                return null;
            }
        });

        OutputFiles files = new();
        if (file is not null)
        {
            files.Write(file, Terminal.ToJson(results) + "\n");
        }

        files.Publish(
            terminal,
            record with
            {
                End = fault is not null ? RunEnd.Failed : stop.IsCancellationRequested ? RunEnd.Cancelled : RunEnd.Completed,
                Message = fault,
            },
            folder,
            () => BenchFiles.Of(results, machine, record.Line),
            () => results,
            () => view.ShowResults(results));
        if (fault is not null)
        {
            string lost = files.Lost is { } lines ? Environment.NewLine + lines : "";
            throw new BenchFault($"{fault} {results.Count} of {rows.Length} rows were measured.{lost}");
        }

        files.ThrowIfLost();
        if (!stop.IsCancellationRequested)
        {
            return ExitCode.Success;
        }

        view.ShowCancelled(results.Count, rows.Length);
        return ExitCode.Cancelled;
    }

    private int Compare(ParseResult parsed, string[] files, Terminal terminal)
    {
        Option? other = Options.FirstOrDefault(option =>
            option != _compare && option != _json && parsed.GetResult(option) is { Implicit: false });
        if (other is not null)
        {
            throw new UsageException($"{other.Name}: this is of a measurement; leave it out, or leave out --compare.");
        }

        IReadOnlyList<BenchChange> changes =
            BenchComparison.Compare(BenchComparison.Read(files[0]), BenchComparison.Read(files[1]));
        if (!changes.Any(static change => change is { Old: not null, New: not null }))
        {
            throw new UsageException(
                $"--compare {files[0]} {files[1]}: they have no row in common; measure the same rules, shapes, types and number "
                + "of threads.");
        }

        ChangeSummary[] summary =
        [
            .. changes.Select(static change => new ChangeSummary(
                change.Row.Rule,
                change.Row.Backend,
                change.Row.Threads,
                change.Row.Shape,
                change.Row.Dtype,
                change.Row.StateDtype,
                change.Row.Master,
                change.Old?.Seconds,
                change.New?.Seconds,
                change.Old?.Spread,
                change.New?.Spread,
                change.Old?.FloorSeconds,
                change.New?.FloorSeconds,
                CommonOptions.Name(change.Verdict))),
        ];
        string? file = parsed.GetValue(_json);
        OutputFiles.PrepareFile(_json.Name, file);
        if (terminal.IsJson)
        {
            terminal.WriteJson(summary);
        }
        else
        {
            new BenchView(terminal).ShowChanges(changes);
        }

        OutputFiles output = new();
        if (file is not null)
        {
            output.Write(file, Terminal.ToJson(summary) + "\n");
        }

        output.ThrowIfLost();
        return changes.Any(static change => change.Verdict == BenchVerdict.Slower) ? ExitCode.Failure : ExitCode.Success;
    }

    private BenchCase[] Rows(ParseResult parsed)
    {
        Device device = parsed.GetValue(_device);
        CommonOptions.Require(device);
        if (device.Backend != Backend.Cpu && parsed.GetValue(_threads) is not null)
        {
            throw new UsageException("--threads: a GPU has none to set; leave it out, or use --device cpu.");
        }

        DType type = parsed.GetValue(_dtype) ?? DType.Float32;
        MasterWeights master = parsed.GetValue(_master) ?? MasterWeights.None;
        string? problem = (type, master) switch
        {
            (DType.Float32, not MasterWeights.None) =>
                "--master: float32 parameters lack no bits; use --dtype bfloat16 or float16, or leave the option out.",
            (DType.Float16, MasterWeights.Remainder) =>
                "--master remainder: only bfloat16 parameters have a remainder; use --master float32, or --dtype bfloat16.",
            _ => null,
        };
        if (problem is not null)
        {
            throw new UsageException(problem);
        }

        int threads = parsed.GetValue(_threads) ?? NativeRuntime.CpuThreads;
        DType stateType = parsed.GetValue(_stateType) ?? DType.Float32;
        bool isStochastic = parsed.GetValue(_stochasticRounding);
        if (isStochastic && stateType != DType.BFloat16 && !BenchCase.RoundsParameters(type, master))
        {
            throw new UsageException(
                "--stochastic-rounding: nothing is rounded to bfloat16; add --dtype bfloat16 without --master, or "
                + "--state-dtype bfloat16.");
        }

        BenchRule[] rules = [.. CommonOptions.Chosen(parsed, _rules, BenchRule.Default)];
        Array.ForEach(rules, rule => rule.Preset.RequireStateType(stateType));
        return
        [
            .. from shape in CommonOptions.Chosen(parsed, _shapes, [ModelShape.TryParse("gpt2")!])
               from rule in rules
               select new BenchCase(rule, shape)
               {
                   Device = device,
                   Threads = threads,
                   DType = type,
                   StateType = stateType,
                   MasterWeights = master,
                   StochasticRounding = isStochastic,
                   WithPeers = !parsed.GetValue(_noPeers),
               },
        ];
    }

    /// <summary>Refuses what the machine has no memory for, before anything is measured.</summary>
    private static void Require(BenchCase[] rows)
    {
        DeviceInfo device = rows[0].Device.GetInfo();
        long available = device.Device.Backend == Backend.Cpu
            ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes : device.MemoryBytes ?? long.MaxValue;
        BenchCase largest = rows.MaxBy(static row => row.MemoryBytes)!;
        if (largest.MemoryBytes > available)
        {
            throw new UsageException(
                $"--shapes {largest.Shape.Name}: {largest.Rule.Name} takes {Gibibytes(largest.MemoryBytes)} GiB, but there are "
                + $"{Gibibytes(available)}; choose fewer or smaller tensors.");
        }

        static string Gibibytes(long bytes) => (bytes / (double)(1L << 30)).ToString("0.0", CultureInfo.InvariantCulture);
    }

    private sealed record BenchPlan(IReadOnlyList<BenchCase> Rows, BenchSettings Settings);

    // The members of the JSON document of a comparison.
    private sealed record ChangeSummary(
        string Rule,
        string Backend,
        int? Threads,
        string Shape,
        string Dtype,
        string StateDtype,
        string Master,
        double? OldSeconds,
        double? NewSeconds,
        double? OldSpread,
        double? NewSpread,
        double? OldFloorSeconds,
        double? NewFloorSeconds,
        string Verdict);
}
