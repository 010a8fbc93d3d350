using System.Diagnostics;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>
/// The same step as a .NET developer would write it, on one thread, on the buffers that all contenders share.
/// </summary>
internal abstract class Peer(BenchRule rule, BenchBuffers buffers) : IContender
{
    public abstract string Name { get; }

    /// <summary>Which step it is.</summary>
    protected PeerFormula Formula { get; } = PeerFormulas.Of(rule.Preset)
        ?? throw new ArgumentException($"No step of {rule.Name} is written by hand.", nameof(rule));

    protected PeerOptions Options { get; } = new(rule.Preset);

    /// <summary>The number of tensors.</summary>
    protected int TensorCount { get; } = buffers.Count;

    protected BenchBuffers.TensorSpans Param { get; } = buffers.Tensors(StepTraffic.Param);

    protected BenchBuffers.TensorSpans Grad { get; } = buffers.Tensors(StepTraffic.Grad);

    protected BenchBuffers.TensorSpans Momentum { get; } = buffers.Tensors("momentum_buffer");

    protected BenchBuffers.TensorSpans ExpAvg { get; } = buffers.Tensors("exp_avg");

    protected BenchBuffers.TensorSpans ExpAvgSq { get; } = buffers.Tensors("exp_avg_sq");

    protected BenchBuffers.TensorSpans MaxExpAvgSq { get; } = buffers.Tensors("max_exp_avg_sq");

    /// <summary>Steps taken, the present one included.</summary>
    protected long StepCount { get; private set; }

    /// <summary>One step of all tensors.</summary>
    public void Step()
    {
        StepCount++;
        if (Formula is PeerFormula.Sgd or PeerFormula.SgdMomentum)
        {
            StepSgd();
        }
        else
        {
            StepAdam();
        }
    }

    public double Run(int repetitions)
    {
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < repetitions; i++)
        {
            Step();
        }

        return Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    /// <summary>One step of SGD, with or without momentum.</summary>
    protected abstract void StepSgd();

    /// <summary>One step of Adam or of one of its family.</summary>
    protected abstract void StepAdam();
}
