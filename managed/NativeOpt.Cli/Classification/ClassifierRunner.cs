using System.Runtime.InteropServices;
using NativeOpt.Cli.Classification.Data;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification;

/// <summary>Trains a model and looks at it after each epoch.</summary>
/// <param name="plan">The plan.</param>
/// <param name="stop">Ends a run.</param>
internal sealed class ClassifierRunner(ClassifierPlan plan, CancellationToken stop)
{
    // A stream of the seed for each epoch's order, behind those of the weights.
    private const ulong OrderStream = 1_000_000;

    // Images of a batch that is only looked at.
    private const int EvaluationRows = 512;

    /// <summary>One run; the same seed has the same first weights and the same batches, whatever the optimizer.</summary>
    /// <param name="job">The optimizer, its learning rate and the seed.</param>
    /// <param name="training">The images to train with.</param>
    /// <param name="evaluation">The images to look at after each epoch.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public ClassifierRun Run(ClassifierJob job, Examples training, Examples evaluation)
    {
        var model = new Mlp(
            plan.Images.Train.Features, plan.Hidden, plan.Images.Classes, Math.Max(plan.BatchSize, EvaluationRows), job.Seed);
        using var parameters = new OptimizedParameters(model.Parameters, Device.Cpu, inPlace: true);
        int batches = (training.Count + plan.BatchSize - 1) / plan.BatchSize;
        long steps = (long)batches * plan.Epochs;
        using Optimizer optimizer = job.Optimizer.Create(parameters.Set, steps, plan.WeightDecay);
        TensorRef[] gradients =
        [
            .. model.Parameters.Select(static parameter => TensorRef.FromPointer(
                Marshal.UnsafeAddrOfPinnedArrayElement(parameter.Gradient, 0), parameter.Gradient.Length)),
        ];
        int[] order = [.. Enumerable.Range(0, training.Count)];
        List<ClassifierEpoch> epochs = [];
        int switched = 0;
        for (int epoch = 0; epoch < plan.Epochs; epoch++)
        {
            ImageData.Shuffle(order, new DeterministicRandom(job.Seed, OrderStream + (ulong)epoch));
            double sum = 0;
            for (int batch = 0; batch < batches; batch++)
            {
                stop.ThrowIfCancellationRequested();
                ReadOnlySpan<int> positions =
                    order.AsSpan(batch * plan.BatchSize)[..Math.Min(plan.BatchSize, training.Count - (batch * plan.BatchSize))];
                training.Fill(positions, model.Inputs, model.Labels);
                double loss = model.ForwardBackward(positions.Length);
                sum += loss * positions.Length;
                if (!double.IsFinite(loss))
                {
                    return Diverged();
                }

                optimizer.LearningRate = plan.Schedule.At(job.LearningRate, ((long)epoch * batches) + batch, steps);
                optimizer.Step();
                switched = job.Optimizer.Switches ? Swats.SwitchAfterStep(optimizer, gradients) : 0;
            }

            (double evaluationLoss, double accuracy) = Evaluate(model, evaluation);
            if (!double.IsFinite(evaluationLoss))
            {
                return Diverged();
            }

            epochs.Add(new ClassifierEpoch(sum / training.Count, evaluationLoss, accuracy));
        }

        return new ClassifierRun(epochs, Evaluate(model, training).Accuracy, epochs[^1].Accuracy, switched);

        ClassifierRun Diverged() => new(epochs, double.NaN, double.NaN, switched);
    }

    private (double Loss, double Accuracy) Evaluate(Mlp model, Examples examples)
    {
        Span<int> positions = stackalloc int[EvaluationRows];
        (double loss, int correct) = (0, 0);
        for (int begin = 0; begin < examples.Count; begin += EvaluationRows)
        {
            stop.ThrowIfCancellationRequested();
            int rows = Math.Min(EvaluationRows, examples.Count - begin);
            for (int row = 0; row < rows; row++)
            {
                positions[row] = begin + row;
            }

            examples.Fill(positions[..rows], model.Inputs, model.Labels);
            (double ownLoss, int ownCorrect) = model.Forward(rows);
            (loss, correct) = (loss + ownLoss, correct + ownCorrect);
        }

        return (loss / examples.Count, (double)correct / examples.Count);
    }
}
