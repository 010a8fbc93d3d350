using System.Diagnostics;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>NativeOpt's own turn: what a row times, on the buffers that all contenders share.</summary>
internal sealed class OptimizerContender : IContender, IDisposable
{
    // Rules that look at how gradients change see none while these stay: what they keep of changes would decay to denormal
    // numbers, which processors are slow with.
    private const int StepsOfGradients = 512;

    private readonly BenchBuffers _buffers;
    private readonly BenchWork _work;
    private readonly Device _device;
    private readonly ParameterSet _set;
    private readonly Optimizer _optimizer;
    private readonly DimerOptimizer? _dimer;
    private int _steps;
    private int _gradients;

    public OptimizerContender(BenchCase row, BenchBuffers buffers)
    {
        _buffers = buffers;
        _work = row.Rule.Work;
        _device = row.Device;
        _set = new ParameterSet(row.Device, buffers.Parameters);
        try
        {
            _set.SetGradients(buffers.Pointers(StepTraffic.Grad));
            _optimizer = new RuleOptimizer(_set, row.Options);
            foreach (StateRole role in _optimizer.StateRoles)
            {
                _optimizer.BindState(role, buffers.Pointers(role.Name));
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
        double seconds = 0;
        while (repetitions > 0)
        {
            int part = Math.Min(repetitions, StepsOfGradients - _steps);
            seconds += RunPart(part);
            repetitions -= part;
            _steps += part;
            if (_steps == StepsOfGradients)
            {
                _steps = 0;
                _gradients ^= 1;
                _buffers.FillGradients(_gradients); // not in the time
            }
        }

        return seconds;
    }

    public void Dispose()
    {
        _dimer?.Dispose();
        _optimizer?.Dispose();
        _set.Dispose();
    }

    private double RunPart(int repetitions)
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
