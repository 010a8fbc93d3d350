using BenchmarkDotNet.Attributes;

namespace NativeOpt.Benchmarks;

/// <summary>
/// Calls over tensors of one element, where there is next to nothing to compute: what is left is the call, and the
/// bookkeeping for each tensor.
/// </summary>
[MemoryDiagnoser]
public class CallOverhead : IDisposable
{
    private DeviceBuffer<float> _memory = null!;
    private ParameterSet _set = null!;
    private AdamW _optimizer = null!;
    private nint[][] _gradients = null!;
    private int _turn;

    /// <summary>1, as many as GPT-2 has, and very many.</summary>
    [Params(1, 148, 10_000)]
    public int Tensors { get; set; }

    /// <summary>Makes the tensors, each on a cache line of its own, and two sets of gradients to change between.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        const int Stride = 16;
        _memory = new DeviceBuffer<float>(Device.Cpu, 3L * Tensors * Stride);
        _memory.Fill(0.5f);
        nint[][] addresses =
        [
            .. Enumerable.Range(0, 3).Select(role => Enumerable.Range(0, Tensors)
                .Select(tensor => _memory.Pointer + (((role * Tensors) + tensor) * Stride * sizeof(float))).ToArray()),
        ];
        _gradients = addresses[1..];
        _set = new ParameterSet([.. addresses[0].Select(static address => TensorRef.FromPointer(address, 1))]);
        _set.SetGradients(_gradients[0]);
        _optimizer = new AdamW(_set);
        _optimizer.Step();
    }

    /// <summary>One step.</summary>
    [Benchmark]
    public void Step() => _optimizer.Step();

    /// <summary>Gradients at other addresses than the last time, as frameworks have them.</summary>
    [Benchmark]
    public void SetGradients() => _set.SetGradients(_gradients[_turn ^= 1]);

    /// <summary>Both, as in a training step.</summary>
    [Benchmark]
    public void SetGradientsAndStep()
    {
        _set.SetGradients(_gradients[_turn ^= 1]);
        _optimizer.Step();
    }

    /// <summary>Lets everything go.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _optimizer.Dispose();
        _set.Dispose();
        _memory.Dispose();
        GC.SuppressFinalize(this);
    }
}
