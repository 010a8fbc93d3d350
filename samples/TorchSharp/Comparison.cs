using System.Diagnostics;
using NativeOpt.Cli.Plotting;
using NativeOpt.TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpSample;

/// <summary>Trains two copies of a model in turn, one with TorchSharp's AdamW and one with NativeOpt's.</summary>
internal sealed class Comparison(string name, ITask task)
{
    private const double LearningRate = 1e-3;

    public void Run(int steps)
    {
        using Module<Tensor, Tensor> first = task.MakeModel(), second = task.MakeModel();
        Contender torchs = new("torch.optim.AdamW", first, optim.AdamW(first.parameters(), lr: LearningRate));
        Contender ours = new("nativeopt.optim.AdamW", second, nativeopt.optim.AdamW(second.parameters(), lr: LearningRate));
        long count = first.parameters().Sum(static parameter => parameter.numel());
        Console.WriteLine($"{name}: {count:N0} parameters in {first.parameters().Count()} tensors, {steps} steps");
        for (int step = 0; step < steps; step++)
        {
            using IDisposable scope = NewDisposeScope();
            (Tensor input, Tensor target) = task.MakeBatch(step);
            foreach (Contender contender in step % 2 == 0 ? (Contender[])[torchs, ours] : [ours, torchs])
            {
                contender.Step(input, target);
            }
        }

        torchs.Report();
        ours.Report();
        string file = $"torchsharp-{name}.svg";
        LineChart chart = new($"Training a {name}", "step", "loss");
        chart.Add(torchs.Name, torchs.Losses);
        chart.Add(ours.Name, ours.Losses, dashed: true);
        File.WriteAllText(file, chart.ToSvg());
        Console.WriteLine($"The losses are drawn in {file}.");
    }

    /// <summary>One of the two, with what it took.</summary>
    private sealed class Contender(string name, Module<Tensor, Tensor> model, optim.Optimizer optimizer)
    {
        private readonly List<double> _gradients = [];
        private readonly List<double> _steps = [];

        public string Name => name;

        public List<(double X, double Y)> Losses { get; } = [];

        public void Step(Tensor input, Tensor target)
        {
            using IDisposable scope = NewDisposeScope();
            long start = Stopwatch.GetTimestamp();
            optimizer.zero_grad();
            Tensor loss = functional.cross_entropy(model.forward(input), target);
            loss.backward();
            _gradients.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            start = Stopwatch.GetTimestamp();
            optimizer.step();
            _steps.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            Losses.Add((Losses.Count + 1, loss.item<float>()));
        }

        public void Report()
        {
            (double gradients, double step) = (Bench.Median(_gradients), Bench.Median(_steps));
            Console.WriteLine(FormattableString.Invariant(
                $"{name,-22} loss {Losses[^1].Y:F4}; a step takes {gradients + step:F2} ms, of which the optimizer {step:F2} ms")
                + FormattableString.Invariant($" ({100 * step / (gradients + step):F0}%)"));
        }
    }
}
