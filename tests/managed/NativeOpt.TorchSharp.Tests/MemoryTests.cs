using NativeOpt.TorchSharp;
using NativeOpt.TorchSharp.Modules;
using Xunit;
using Parameter = TorchSharp.Modules.Parameter;

namespace TorchSharpAdapter;

/// <summary>What steps allocate, and that the garbage collector does not disturb them.</summary>
public class MemoryTests
{
    [TorchTheory]
    [InlineData("adam")]
    [InlineData("sgd")]
    [InlineData("nadam")]
    [InlineData("rmsprop")]
    public void A_warm_step_allocates_nothing(string rule)
    {
        Parameter[] parameters = Models.Parameters(1, [.. Enumerable.Repeat<long[]>([10, 10], 1000)]);
        using FusedOptimizer optimizer = rule switch
        {
            "adam" => nativeopt.optim.Adam(parameters),
            "sgd" => nativeopt.optim.SGD(parameters, 0.1, 0.9),
            "nadam" => nativeopt.optim.NAdam(parameters),
            "rmsprop" => nativeopt.optim.RMSProp(parameters, momentum: 0.9, centered: true),
            _ => throw new ArgumentOutOfRangeException(nameof(rule)),
        };
        Models.SetGradients(1, parameters);
        for (int step = 0; step < 66; step++)
        {
            optimizer.step();
        }

        // Between two of the walks over the module's parameters.
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 0; step < 50; step++)
        {
            optimizer.step();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [TorchFact]
    public void Thirty_runs_survive_continuous_garbage_collection()
    {
        using CancellationTokenSource stop = new();
        Thread collector = new(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        });
        collector.Start();
        try
        {
            for (int run = 0; run < 30; run++)
            {
                Parameter[] parameters = Models.Parameters(run, [40, 3], [7], [2, 2, 2]);
                using var optimizer = nativeopt.optim.AdamW(parameters, lr: 1e-2);
                Models.SetGradients(run, parameters);
                float before = Norm(parameters);
                for (int step = 0; step < 50; step++)
                {
                    optimizer.step();
                }

                Assert.NotEqual(before, Norm(parameters));
                Assert.True(float.IsFinite(Norm(parameters)));
            }
        }
        finally
        {
            stop.Cancel();
            collector.Join();
        }

        static float Norm(Parameter[] parameters) => parameters.Sum(static p => Models.Values(p).Sum(static x => x * x));
    }
}
