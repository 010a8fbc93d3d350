using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>The composite; replayed traces have its numbers.</summary>
public class SwatsTests
{
    private static readonly SwatsOptions Options = new() { LearningRate = 0.01, Beta2 = 0.99, Epsilon = 0.05 };

    [Fact]
    public void A_tensor_switches_by_itself_and_files_know_it()
    {
        using Run run = new();
        for (int step = 0; step < 4; step++)
        {
            run.Step(step);
        }

        double[] sgd = new double[2], rates = new double[2];
        run.Optimizer.GetRunningScalars("sgd", sgd);
        run.Optimizer.GetRunningScalars("sgd_lr", rates);
        Assert.Equal([1.0, 0.0], sgd); // the second one has had no gradient
        Assert.True(rates[0] > 0);

        using MemoryStream file = new();
        run.Optimizer.Save(file, includeParameters: true);
        file.Position = 0;
        using Run resumed = new();
        resumed.Optimizer.Load(file);
        run.Step(5);
        resumed.Step(5);
        Assert.Equal(run.First, resumed.First);
        Assert.Throws<NotSupportedException>(() => TorchState.Save(run.Optimizer, new MemoryStream()));
        Assert.Throws<NotSupportedException>(() => TorchState.Load(run.Optimizer, new MemoryStream()));
    }

    [Fact]
    public void A_gradient_that_is_not_finite_changes_no_average()
    {
        using Run run = new();
        run.Step(0);
        double[] before = new double[2], after = new double[2];
        run.Optimizer.GetRunningScalars("lambda", before);
        run.Step(1, float.PositiveInfinity);
        run.Optimizer.GetRunningScalars("lambda", after);
        Assert.NotEqual(0, before[0]);
        Assert.Equal(before, after);
    }

    [Fact]
    public void What_does_not_fit_is_refused()
    {
        using Run run = new();
        Assert.Throws<ArgumentException>(() => run.Optimizer.Switch([]));
        Assert.Throws<ArgumentNullException>(() => Swats.SwitchAfterStep(null!, []));
        run.Optimizer.GradientOptions = new GradientOptions { MaxNorm = 1 };
        Assert.Throws<InvalidOperationException>(() => run.Optimizer.Switch(run.GivenGradients));
        using Model model = new(3);
        using Adam adam = new(model.Set);
        Assert.Throws<ArgumentException>(() => Swats.SwitchAfterStep(adam, []));
    }

    /// <summary>Two tensors, of which the second is frozen.</summary>
    private sealed class Run : IDisposable
    {
        private readonly DeviceBuffer<float>[] _weights = [new(Device.Cpu, 5), new(Device.Cpu, 3)];
        private readonly DeviceBuffer<float> _gradient = new(Device.Cpu, 5);
        private readonly ParameterSet _set;

        public Run()
        {
            _set = new ParameterSet([_weights[0], _weights[1]]);
            _set.SetGradients([_gradient.Pointer, 0]);
            Optimizer = new Swats(_set, Options);
        }

        public Swats Optimizer { get; }

        public float[] First
        {
            get
            {
                float[] values = new float[5];
                _weights[0].CopyTo(values);
                return values;
            }
        }

        public TensorRef[] GivenGradients => [_gradient, new TensorRef(0, 0, DType.Float32, Device.Cpu)];

        public void Step(int step, float? second = null)
        {
            float[] gradient = [.. Enumerable.Range(0, 5).Select(i => 1 + (0.1f * MathF.Sin((3 * step) + i)))];
            gradient[1] = second ?? gradient[1];
            _gradient.CopyFrom(gradient);
            Optimizer.Step();
            Optimizer.Switch(GivenGradients);
        }

        public void Dispose()
        {
            Optimizer.Dispose();
            _set.Dispose();
            _gradient.Dispose();
            Array.ForEach(_weights, static buffer => buffer.Dispose());
        }
    }
}
