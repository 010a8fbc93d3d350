namespace NativeOpt.Cli.Saddles;

/// <summary>What <c>nativeopt saddle</c> is to do.</summary>
internal sealed record SaddlePlan
{
    public const int DefaultBudget = 2000;
    public const int DefaultStarts = 5;

    public required IReadOnlyList<SaddleProblem> Problems { get; init; }

    public required IReadOnlyList<SaddleRule> Rules { get; init; }

    public required IReadOnlyList<SaddleDimer> Dimers { get; init; }

    /// <summary>The one learning rate; null: the grid of each rule.</summary>
    public double? LearningRate { get; init; }

    /// <summary>The gradient evaluations that a run may use.</summary>
    public long Budget { get; init; } = DefaultBudget;

    /// <summary>The starts, the same for all.</summary>
    public int Starts { get; init; } = DefaultStarts;

    /// <summary>Selects the starts and the dimers' first directions.</summary>
    public ulong Seed { get; init; } = 1;

    public Device Device { get; init; } = Device.Cpu;

    /// <summary>The number of runs.</summary>
    public int RunCount => Problems.Sum(problem => Cells(problem).Sum(cell => Rates(cell.Rule).Count)) * Starts;

    /// <summary>The rows of the table that there are for a problem: without a direction, none can be exact.</summary>
    public IEnumerable<(SaddleRule Rule, SaddleDimer Dimer)> Cells(SaddleProblem problem) =>
        from rule in Rules
        from dimer in Dimers
        where !dimer.IsExact || !problem.EscapeDirection.IsEmpty
        select (rule, dimer);

    public IReadOnlyList<double> Rates(SaddleRule rule) => LearningRate is double rate ? [rate] : rule.LearningRates;

    /// <summary>Runs all of a problem's optimizers; what they do does not depend on the number of threads.</summary>
    /// <param name="problem">The problem.</param>
    /// <param name="afterEach">Called after each run, from any thread.</param>
    /// <param name="stop">Ends it.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public IReadOnlyList<SaddleCell> Run(SaddleProblem problem, Action afterEach, CancellationToken stop)
    {
        var runner = new SaddleRunner(problem, Budget, Device, Seed);
        (SaddleRule Rule, SaddleDimer Dimer)[] cells = [.. Cells(problem)];
        (int Cell, int Rate, int Start)[] jobs =
        [
            .. from cell in Enumerable.Range(0, cells.Length)
               from rate in Enumerable.Range(0, Rates(cells[cell].Rule).Count)
               from start in Enumerable.Range(0, Starts)
               select (cell, rate, start),
        ];
        SaddleRun[][][] runs =
        [
            .. cells.Select(cell => Rates(cell.Rule).Select(_ => new SaddleRun[Starts]).ToArray()),
        ];

        // A GPU's work would only queue up.
        int threads = Device.Backend == Backend.Cpu ? Environment.ProcessorCount : 1;
        var options = new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = stop };
        Parallel.ForEach(jobs, options, job =>
        {
            (SaddleRule rule, SaddleDimer dimer) = cells[job.Cell];
            runs[job.Cell][job.Rate][job.Start] =
                runner.Run(rule, dimer, Rates(rule)[job.Rate], job.Start, keepsLosses: job.Start == 0, stop);
            afterEach();
        });
        return [.. cells.Select((cell, i) => new SaddleCell(problem, cell.Rule, cell.Dimer, runs[i]))];
    }
}
