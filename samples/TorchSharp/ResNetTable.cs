using NativeOpt.Cli.Classification.Data;
using NativeOpt.Cli.Training;
using NativeOpt.TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpSample;

/// <summary>
/// The table of <c>nativeopt classify</c> for a residual network: accuracies and generalisation gaps of NativeOpt's optimizers, each at
/// the learning rate that is best on training images that are held out.
/// </summary>
/// <param name="images">The images.</param>
/// <param name="trainImages">The training images that are used.</param>
internal sealed class ResNetTable(ImageData images, int trainImages)
{
    private const int Epochs = 5, BatchSize = 64, EvaluationBatchSize = 500, Seeds = 3, HeldOutPart = 6;
    private const ulong SearchSeed = 1000, OrderStream = 1_000_000;

    private static readonly double[] _rates = [1e-3, 3e-3, 1e-2];

    // Those of Table I of DualAdam's paper (arXiv 2603.07122) that TorchSharp's interface has. What goes with the length of a run is as
    // in nativeopt classify.
    private static readonly (string Name, Make Make)[] _optimizers =
    [
        ("adam", static (p, rate, _) => nativeopt.optim.Adam(p, rate)),
        ("adamw", static (p, rate, _) => nativeopt.optim.AdamW(p, rate, weight_decay: 0.01)),
        ("radam", static (p, rate, _) => nativeopt.optim.RAdam(p, rate)),
        ("nadam", static (p, rate, _) => nativeopt.optim.NAdam(p, rate)),
        ("adan", static (p, rate, _) => nativeopt.optim.Adan(p, rate)),
        ("miadam", static (p, rate, steps) => nativeopt.optim.MIAdam(p, rate, switch_step: steps * 20 / 150)),
        ("dualadam", static (p, rate, steps) => nativeopt.optim.DualAdam(p, rate, switching_rate: 4.0 / steps)),
    ];

    private delegate optim.Optimizer Make(IEnumerable<Parameter> parameters, double rate, long steps);

    /// <summary>Trains all and prints the table.</summary>
    public void Run()
    {
        int[] order = images.Order(seed: 1)[..trainImages];
        int heldOut = trainImages / HeldOutPart;
        Examples all = new(images.Train, order), kept = new(images.Train, order[heldOut..]);
        Examples held = new(images.Train, order[..heldOut], kept);
        Examples test = new(images.Test, [.. Enumerable.Range(0, images.Test.Count)], all);
        Console.WriteLine(FormattableString.Invariant(
            $"{images.Name}: {trainImages} training images, {test.Count} test images, {Epochs} epochs, {Seeds} seeds"));
        Console.WriteLine("| optimizer | learning rate | train accuracy, % | test accuracy, % | gap, % |");
        Console.WriteLine("| --- | ---: | ---: | ---: | ---: |");
        foreach ((string name, Make make) in _optimizers)
        {
            double best = _rates.MaxBy(rate => Train(make, rate, SearchSeed, kept, held).Test);
            (double Train, double Test)[] runs =
                [.. Enumerable.Range(1, Seeds).Select(seed => Train(make, best, (ulong)seed, all, test))];
            Console.WriteLine(FormattableString.Invariant($"| {name} | {best} | {Spread(runs.Select(static run => run.Train))} ")
                + $"| {Spread(runs.Select(static run => run.Test))} | {Spread(runs.Select(static run => run.Train - run.Test))} |");
        }
    }

    // The mean and the standard deviation, in per cent.
    private static string Spread(IEnumerable<double> numbers)
    {
        double[] all = [.. numbers];
        double mean = all.Average();
        double deviation = Math.Sqrt(all.Sum(one => (one - mean) * (one - mean)) / (all.Length - 1));
        return FormattableString.Invariant($"{100 * mean:0.00} ± {100 * deviation:0.00}");
    }

    private (double Train, double Test) Train(Make make, double rate, ulong seed, Examples training, Examples test)
    {
        random.manual_seed((long)seed);
        using ResNet model = new(images.Train.Channels, images.Classes);
        int batches = training.Count / BatchSize;
        long steps = (long)batches * Epochs;
        using optim.Optimizer optimizer = make(model.parameters(), rate, steps);
        NativeOpt.LearningRateSchedule schedule = new(rate, steps, final: rate / 1000);
        int[] order = [.. Enumerable.Range(0, training.Count)];
        for (int step = 0; step < steps; step++)
        {
            if (step % batches == 0)
            {
                ImageData.Shuffle(order, new DeterministicRandom(seed, OrderStream + (ulong)(step / batches)));
            }

            using IDisposable scope = NewDisposeScope();
            (Tensor input, Tensor target) = Batch(training, order.AsSpan(step % batches * BatchSize, BatchSize));
            foreach (optim.ILearningRateController group in optimizer.ParamGroups)
            {
                group.LearningRate = schedule.At(step);
            }

            optimizer.zero_grad();
            functional.cross_entropy(model.forward(input), target).backward();
            optimizer.step();
        }

        model.eval();
        return (Accuracy(model, training), Accuracy(model, test));
    }

    private double Accuracy(ResNet model, Examples examples)
    {
        using IDisposable noGradient = no_grad();
        long correct = 0;
        foreach (int[] positions in Enumerable.Range(0, examples.Count).Chunk(EvaluationBatchSize))
        {
            using IDisposable scope = NewDisposeScope();
            (Tensor input, Tensor target) = Batch(examples, positions);
            correct += model.forward(input).argmax(1).eq(target).sum().item<long>();
        }

        return (double)correct / examples.Count;
    }

    private (Tensor Input, Tensor Target) Batch(Examples examples, ReadOnlySpan<int> positions)
    {
        float[] inputs = new float[positions.Length * images.Train.Features];
        int[] labels = new int[positions.Length];
        examples.Fill(positions, inputs, labels);
        return (
            tensor(inputs).reshape(positions.Length, images.Train.Channels, images.Train.Height, images.Train.Width),
            tensor(labels, dtype: ScalarType.Int64));
    }
}
