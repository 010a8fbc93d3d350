using System.Diagnostics;
using System.Text.Json;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>NativeOpt's own turn: what a row times, on the buffers that all contenders share.</summary>
internal sealed class OptimizerContender : IContender, IDisposable
{
    private readonly BenchWork _work;
    private readonly Device _device;
    private readonly ParameterSet _set;
    private readonly Optimizer _optimizer;
    private readonly DimerOptimizer? _dimer;

    public OptimizerContender(BenchCase row, BenchBuffers buffers)
    {
        _work = row.Rule.Work;
        _device = row.Device;
        _set = new ParameterSet(row.Device, buffers.Parameters);
        try
        {
            _set.SetGradients(buffers.Pointers(StepTraffic.Grad));
            _optimizer = Create(row.Options, _set);
            foreach (StateRole role in _optimizer.StateRoles)
            {
                _optimizer.BindState(role, buffers.Pointers(JsonNamingPolicy.SnakeCaseLower.ConvertName(role.ToString())));
            }

            if (row.MasterWeights != MasterWeights.None)
            {
                _optimizer.ResetMasterWeights();
            }

            if (row.Rule.Dimer is { } options)
            {
                _dimer = new DimerOptimizer(_optimizer, options);
                Update(); // the first one, after which a dimer that keeps its direction has one
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string Name => "nativeopt";

    public double Run(int repetitions)
    {
        switch (_work)
        {
            case BenchWork.Update:
                return Sum(repetitions, Update);
            case BenchWork.Displacement:
                return Sum(repetitions, Displace);
        }

        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < repetitions; i++)
        {
            if (_dimer is null)
            {
                _optimizer.Step();
            }
            else
            {
                _dimer.Step();
            }
        }

        Wait();
        return Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    public void Dispose()
    {
        _dimer?.Dispose();
        _optimizer?.Dispose();
        _set.Dispose();
    }

    private static Optimizer Create(OptimizerOptions options, ParameterSet set) => options switch
    {
        AdamOptions adam => new Adam(set, adam),
        AdamWOptions adamW => new AdamW(set, adamW),
        InvAdamOptions invAdam => new InvAdam(set, invAdam),
        DualAdamOptions dualAdam => new DualAdam(set, dualAdam),
        SgdOptions sgd => new Sgd(set, sgd),
        _ => throw new ArgumentException($"There is no optimizer of {options.GetType().Name}.", nameof(options)),
    };

    private static double Sum(int repetitions, Func<double> work)
    {
        double seconds = 0;
        for (int i = 0; i < repetitions; i++)
        {
            seconds += work();
        }

        return seconds;
    }

    private double Update()
    {
        _dimer!.Displace();
        return Time(_dimer.Step);
    }

    private double Displace()
    {
        double seconds = Time(_dimer!.Displace);
        _dimer.Restore();
        return seconds;
    }

    private double Time(Action work)
    {
        Wait();
        long begin = Stopwatch.GetTimestamp();
        work();
        Wait();
        return Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    /// <summary>Until the device has finished; the CPU has when a call returns.</summary>
    private void Wait()
    {
        if (_device.Backend != Backend.Cpu)
        {
            DeviceStream.Default.Synchronize(_device);
        }
    }
}
