namespace NativeOpt.Cli.Benchmarks;

/// <summary>What takes turns in a row: NativeOpt, the floor and the peers, on the same buffers.</summary>
internal sealed class BenchContenders : IDisposable
{
    private const int StepsOfCheck = 3;
    private const float Tolerance = 1e-6f;

    private readonly BenchBuffers _buffers;
    private readonly OptimizerContender _optimizer;
    private readonly IContender _floor;
    private readonly Peer[] _peers = [];

    public BenchContenders(BenchCase row)
    {
        _buffers = new BenchBuffers(row);
        try
        {
            _optimizer = new OptimizerContender(row, _buffers);
            _floor = row.Device.Backend == Backend.Cpu ? new MemoryFloor(row, _buffers) : new CopyFloor(row);
            _peers = row.HasPeers ? [new LoopPeer(row.Rule, _buffers), new UnfusedPeer(row.Rule, _buffers)] : [];
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>All of them: NativeOpt, the floor, the peers.</summary>
    public IReadOnlyList<IContender> All => [_optimizer, _floor, .. _peers];

    /// <summary>How the floor goes over memory; null on a GPU, which copies as it does.</summary>
    public string? FloorForm => (_floor as MemoryFloor)?.Form.Name;

    /// <summary>Compares what the peers make of the parameters in a few steps with what NativeOpt does.</summary>
    /// <exception cref="BenchFault">They differ.</exception>
    public void Check()
    {
        if (_peers.Length > 0)
        {
            Check(_buffers, _optimizer, _peers);
        }
    }

    /// <summary>... for any peers. None of them has taken a step.</summary>
    public static void Check(BenchBuffers buffers, IContender optimizer, IReadOnlyList<Peer> peers)
    {
        TakeSteps(buffers, optimizer, StepsOfCheck);
        float[][] expected =
            [.. Enumerable.Range(0, buffers.Count).Select(i => buffers.Tensor(StepTraffic.Param, i).ToArray())];
        foreach (Peer peer in peers)
        {
            buffers.Reset();
            TakeSteps(buffers, peer, StepsOfCheck);
            for (int tensor = 0; tensor < expected.Length; tensor++)
            {
                Require(peer, tensor, buffers.Tensor(StepTraffic.Param, tensor), expected[tensor]);
            }
        }
    }

    /// <summary>
    /// Takes steps with other gradients each time: with the same ones a step of Adam's family would not depend on the betas.
    /// </summary>
    public static void TakeSteps(BenchBuffers buffers, IContender contender, int steps)
    {
        for (int step = 0; step < steps; step++)
        {
            buffers.FillGradients(step + 1);
            contender.Run(1);
        }

        buffers.FillGradients(0);
    }

    /// <summary>Has everything compiled as well as it will be, on a row of a few elements.</summary>
    public void Warm(CancellationToken stop)
    {
        // The runtime compiles anew what was called 30 times, in the background, once nothing new came for 0.1 s.
        for (int pass = 0; pass < 3 && !stop.WaitHandle.WaitOne(pass == 0 ? 0 : 150); pass++)
        {
            foreach (IContender contender in All)
            {
                for (int i = 0; i < 40; i++)
                {
                    contender.Run(1);
                }
            }

            (_floor as MemoryFloor)?.ChooseForm(40);
        }
    }

    /// <summary>Lets the floor go over memory in the way that is fastest here.</summary>
    public void ChooseFloorForm() => (_floor as MemoryFloor)?.ChooseForm(BenchRounds.Repetitions(_floor));

    public void Dispose()
    {
        _optimizer?.Dispose();
        (_floor as IDisposable)?.Dispose();
        _buffers.Dispose();
    }

    private static void Require(Peer peer, int tensor, ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        for (int i = 0; i < actual.Length; i++)
        {
            if (!(MathF.Abs(actual[i] - expected[i]) <= Tolerance * MathF.Max(1, MathF.Abs(expected[i]))))
            {
                throw new BenchFault(FormattableString.Invariant(
                    $"{peer.Name} is not the same step: parameter {i} of tensor {tensor} is {actual[i]} after {StepsOfCheck} steps, but NativeOpt's is {expected[i]}."));
            }
        }
    }
}
