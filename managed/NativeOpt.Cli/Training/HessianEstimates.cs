using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Training;

/// <summary>
/// Gives a rule that takes one the Gauss-Newton-Bartlett estimate of the Hessian's diagonal every few steps, as Sophia-G has it
/// (Liu et al. 2023, arXiv 2305.14342, algorithm 2): from the gradient with labels that the model itself draws. It costs a gradient and,
/// to draw the labels, another forward pass, which is not counted as one.
/// </summary>
/// <param name="model">The model; its gradients are overwritten by an estimate.</param>
/// <param name="optimizer">The optimizer, on the CPU.</param>
/// <param name="interval">Steps from one estimate to the next.</param>
/// <param name="seed">Selects the labels.</param>
internal sealed class HessianEstimates(Gpt model, Optimizer optimizer, int interval, ulong seed) : IDisposable
{
    private const string Input = "hessian";

    private readonly DeviceBuffer<float>[] _estimates =
        [.. model.Parameters.Select(static parameter => new DeviceBuffer<float>(Device.Cpu, parameter.Value.Length))];

    private int[] _labels = [];

    /// <summary>Whether an optimizer's rule takes estimates.</summary>
    public static bool AreTakenBy(OptimizerPreset preset) => preset.Rule.Inputs.Any(static input => input.Name == Input);

    /// <summary>Gives the optimizer what its next step takes: an estimate where one is due, and none elsewhere.</summary>
    /// <param name="step">The step.</param>
    /// <param name="inputs">The tokens of its batch.</param>
    /// <param name="batch">The sequences of the batch.</param>
    public void GiveTo(long step, ReadOnlySpan<int> inputs, int batch)
    {
        if (step % interval != 0)
        {
            optimizer.ClearInput(Input);
            return;
        }

        Array.Resize(ref _labels, inputs.Length);
        model.DrawTargets(inputs, batch, new DeterministicRandom(seed ^ ulong.MaxValue, (ulong)step), _labels);
        model.ForwardBackward(inputs, _labels, batch);
        for (int i = 0; i < _estimates.Length; i++)
        {
            SophiaHessian.GaussNewtonBartlett(model.Parameters[i].Gradient, inputs.Length, _estimates[i].AsSpan());
        }

        optimizer.SetInput(Input, [.. _estimates.Select(static estimate => estimate.Pointer)]);
    }

    /// <summary>The gradients that the estimates of so many steps have taken.</summary>
    public long GradientEvaluations(long steps) => (steps + interval - 1) / interval;

    public void Dispose() => Array.ForEach(_estimates, static estimate => estimate.Dispose());
}
