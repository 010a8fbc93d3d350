using System.Diagnostics;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>
/// The same step as a .NET developer would write it, on one thread, on the buffers that all contenders share.
/// </summary>
internal abstract class Peer(BenchRule rule, BenchBuffers buffers) : IContender
{
    public abstract string Name { get; }

    protected OptimizerOptions Options { get; } = rule.Options;

    protected BenchBuffers Buffers { get; } = buffers;

    /// <summary>Steps taken, the present one included.</summary>
    protected long StepCount { get; private set; }

    /// <summary>One step of all tensors.</summary>
    public void Step()
    {
        StepCount++;
        switch (Options)
        {
            case SgdOptions options:
                Step(options);
                break;
            case AdamFamilyOptions options:
                Step(options);
                break;
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

    protected abstract void Step(SgdOptions options);

    protected abstract void Step(AdamFamilyOptions options);

    protected Span<float> Param(int tensor) => Buffers.Tensor(StepTraffic.Param, tensor);

    protected ReadOnlySpan<float> Grad(int tensor) => Buffers.Tensor(StepTraffic.Grad, tensor);

    protected Span<float> Momentum(int tensor) => Buffers.Tensor("momentum_buffer", tensor);

    protected Span<float> ExpAvg(int tensor) => Buffers.Tensor("exp_avg", tensor);

    protected Span<float> ExpAvgSq(int tensor) => Buffers.Tensor("exp_avg_sq", tensor);

    protected Span<float> MaxExpAvgSq(int tensor) => Buffers.Tensor("max_exp_avg_sq", tensor);
}
