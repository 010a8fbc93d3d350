namespace NativeOpt.Cli.Classification;

/// <summary>What is known after an epoch.</summary>
/// <param name="TrainLoss">The mean loss of its batches.</param>
/// <param name="Loss">The mean loss of the images that were held out, or those to test with.</param>
/// <param name="Accuracy">The part of these whose class was the likeliest one.</param>
internal sealed record ClassifierEpoch(double TrainLoss, double Loss, double Accuracy);

/// <summary>What came of a run.</summary>
/// <param name="Epochs">Each epoch; fewer than all if a loss was not finite, which ends a run.</param>
/// <param name="TrainAccuracy">After the last epoch, the part of the training images whose label was the likeliest class; NaN if the run
/// has diverged.</param>
/// <param name="Accuracy">The same of the images that were held out, or those to test with; NaN if it has diverged.</param>
/// <param name="SwitchedTensors">The tensors that have switched to SGD, of an optimizer that switches them.</param>
internal sealed record ClassifierRun(
    IReadOnlyList<ClassifierEpoch> Epochs, double TrainAccuracy, double Accuracy, int SwitchedTensors)
{
    /// <summary>Whether a loss was not finite.</summary>
    public bool HasDiverged => double.IsNaN(Accuracy);

    /// <summary>The generalisation gap.</summary>
    public double Gap => TrainAccuracy - Accuracy;
}
