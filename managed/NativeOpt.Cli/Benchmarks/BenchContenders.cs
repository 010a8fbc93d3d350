using System.Runtime;

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

    /// <summary>Compares what any peers make of the parameters with what NativeOpt does. None has taken a step yet.</summary>
    public static void Check(BenchBuffers buffers, IContender optimizer, IReadOnlyList<Peer> peers)
    {
        TakeSteps(buffers, optimizer, StepsOfCheck);
        float[][] expected =
            [.. Enumerable.Range(0, buffers.Count).Select(i => buffers.Tensors(StepTraffic.Param)[i].ToArray())];
        foreach (Peer peer in peers)
        {
            buffers.Reset();
            TakeSteps(buffers, peer, StepsOfCheck);
            for (int tensor = 0; tensor < expected.Length; tensor++)
            {
                Require(peer, tensor, buffers.Tensors(StepTraffic.Param)[tensor], expected[tensor]);
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

    /// <summary>Has the runtime compile everything as well as it can; for a row of a few elements.</summary>
    /// <remarks>
    /// The runtime compiles anew what was called 30 times, and once more with what it learned then, each time in the
    /// background when nothing new came for 0.1 s. It is over when it compiles nothing any more.
    /// </remarks>
    public void Warm(CancellationToken stop)
    {
        const int Calls = 40;
        const int FewestPasses = 5;
        const int MostPasses = 50;
        const int Quiet = 2;
        int quiet = 0;
        for (int pass = 0; pass < MostPasses && (pass < FewestPasses || quiet < Quiet); pass++)
        {
            long compiled = JitInfo.GetCompiledMethodCount();
            foreach (IContender contender in All)
            {
                for (int i = 0; i < Calls; i++)
                {
                    contender.Run(1);
                }
            }

            (_floor as MemoryFloor)?.ChooseForm(Calls);
            if (stop.WaitHandle.WaitOne(150))
            {
                return;
            }

            quiet = JitInfo.GetCompiledMethodCount() == compiled ? quiet + 1 : 0;
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
                string numbers = FormattableString.Invariant($"{actual[i]}, but NativeOpt's is {expected[i]}");
                throw new BenchFault(
                    $"{peer.Name} is not the same step: after {StepsOfCheck} of them parameter {i} of tensor {tensor} is "
                    + $"{numbers}.");
            }
        }
    }
}
