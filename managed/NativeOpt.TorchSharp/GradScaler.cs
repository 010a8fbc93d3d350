using global::TorchSharp;
using NativeOpt.TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>
/// Scales the loss so that gradients of half precision neither vanish nor overflow, as torch's <c>GradScaler</c> (Micikevicius et
/// al. 2018), which TorchSharp does not have. The step itself divides the gradients, and is skipped where one is not finite.
/// </summary>
/// <example>
/// <code>
/// scaler.scale(loss).backward();
/// scaler.step(optimizer);
/// scaler.update();
/// </code>
/// </example>
public sealed class GradScaler
{
    private readonly NativeOpt.GradScaler _scaler;

    /// <summary>Makes a scaler.</summary>
    /// <param name="init_scale">The scale at first, from <paramref name="min_scale"/> to 2^126.</param>
    /// <param name="growth_factor">What a growing scale is multiplied with, above 1 and finite.</param>
    /// <param name="backoff_factor">What a scale that backs off is multiplied with, between 0 and 1.</param>
    /// <param name="growth_interval">The number of good steps in a row after which the scale grows, above 0.</param>
    /// <param name="min_scale">
    /// The smallest scale, from 2^-126 on; 2^-14 by default. A step that is skipped there means that the model is broken.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range.</exception>
    public GradScaler(
        double init_scale = 65536, double growth_factor = 2, double backoff_factor = 0.5, int growth_interval = 2000,
        double min_scale = 1.0 / 16384) =>
        _scaler = new NativeOpt.GradScaler(init_scale, growth_factor, backoff_factor, growth_interval, min_scale);

    /// <summary>Tells what the loss is multiplied with.</summary>
    /// <returns>The scale.</returns>
    public double get_scale() => _scaler.Scale;

    /// <summary>Sets the scale, to resume a run.</summary>
    /// <param name="scale">
    /// The scale, from the smallest one to 2^126: what <see cref="get_scale"/> told when the run was saved.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="scale"/> is out of range.</exception>
    public void set_scale(double scale) => _scaler.Scale = scale;

    /// <summary>Tells how many good steps there were since the scale last changed, to be saved with a run.</summary>
    /// <returns>The number of steps.</returns>
    public int get_growth_tracker() => _scaler.GrowthTracker;

    /// <summary>Sets the number of good steps since the scale last changed, to resume a run.</summary>
    /// <param name="steps">The number of steps, at least 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="steps"/> is negative.</exception>
    public void set_growth_tracker(int steps) => _scaler.GrowthTracker = steps;

    /// <summary>Multiplies a loss with the scale.</summary>
    /// <param name="loss">The loss, best of float32: the product has its type, and a float16 one overflows at 65,504.</param>
    /// <returns>The scaled loss, for <c>backward</c>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="loss"/> is null.</exception>
    public torch.Tensor scale(torch.Tensor loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        return loss * _scaler.Scale;
    }

    /// <summary>
    /// Takes a step on gradients of the scaled loss, unless one of them is not finite. The optimizer's own <c>step</c> divides by
    /// nothing, before and after.
    /// </summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> is null.</exception>
    /// <inheritdoc cref="FusedOptimizer.step" path="/exception"/>
    public void step(FusedOptimizer optimizer)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        FusedCore core = optimizer.PrepareStep();
        _scaler.Step(core.Optimizer);
        optimizer.FinishStep(core);
    }

    /// <summary>Takes a dimer's step.</summary>
    /// <param name="dimer">The dimer.</param>
    /// <param name="closure">
    /// As <see cref="Dimer.step"/> has it, except that it calls <c>backward</c> on the scaled loss. It returns the loss itself.
    /// </param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <inheritdoc cref="FusedOptimizer.step" path="/exception"/>
    public torch.Tensor? step(Dimer dimer, Func<torch.Tensor> closure)
    {
        ArgumentNullException.ThrowIfNull(dimer);
        ArgumentNullException.ThrowIfNull(closure);
        return dimer.Step(closure, (native, evaluate) => _scaler.Step(native, evaluate));
    }

    /// <summary>Lets the scale back off if a step since the last update was skipped, and grow after enough good ones.</summary>
    /// <exception cref="InvalidOperationException">No optimizer took a step since the last update.</exception>
    /// <exception cref="NotFiniteNumberException">
    /// A step was skipped although the scale is the smallest one: gradients are not finite whatever the scale. It stays there.
    /// </exception>
    public void update() => _scaler.Update();
}
