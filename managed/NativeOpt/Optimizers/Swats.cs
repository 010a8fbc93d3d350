using System.Runtime.CompilerServices;

namespace NativeOpt;

/// <summary>Options of <see cref="Swats"/>; the defaults are the paper's.</summary>
public sealed record SwatsOptions : OptimizerOptions
{
    /// <summary>The decay rate of the first moment, and of the momentum buffer after the switch, in [0, 1); 0.9 by default.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>The decay rate of the second moment and of Λ, in [0, 1); 0.999 by default.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>
    /// What is added to the root of the second moment, and how near to its average an SGD learning rate must be for the tensor to
    /// switch; 0 or 1.18e-38 to 3.4e38; 1e-9 by default.
    /// </summary>
    public double Epsilon { get; init; } = 1e-9;

    internal override string RuleName => Swats.Name;

    internal override OptimizerGroup MakeGroup(Optimizer optimizer, int index, HyperparameterValues values) =>
        new SwatsGroup(optimizer, index, values);

    internal override void Write(HyperparameterValues values)
    {
        base.Write(values);
        values.Set("beta1", Beta1);
        values.Set("beta2", Beta2);
        values.Set("eps", Epsilon);
    }
}

/// <summary>
/// SWATS (Keskar &amp; Socher 2017, arXiv 1712.07628, "Improving generalization performance by switching from Adam to SGD",
/// algorithm 1): each tensor begins with Adam, p = −η·√(1 − β₂^t)/(1 − β₁^t)·m/(√v + ε), θ ← θ + p, and goes on with SGD,
/// b ← β₁b + g, θ ← θ − (1 − β₁)·η_S·b, once the learning rate γ = p·p/(−p·g) that fits its steps has settled.
/// </summary>
/// <remarks>
/// <para>
/// A composite: the native rule takes both kinds of steps, and <see cref="Switch"/>, called after each of them, computes the sums
/// over a tensor on the host and tells the rule which tensors have switched. It reads the tensors that have not from the
/// device, and waits for it. Call it before a scheduler changes the learning rate; and not with a dimer, whose steps take a
/// corrected gradient. An optimizer on which it is never called is Adam, with ε added before the bias of v is corrected.
/// </para>
/// <para>
/// The states are exp_avg, exp_avg_sq and momentum_buffer, the running scalars lambda (Λ), sgd (1 after the switch) and sgd_lr
/// (η_S); all of them are in state files.
/// </para>
/// </remarks>
/// <example>
/// <code>
/// using Swats optimizer = new(parameters);
/// for (int step = 0; step &lt; steps; step++)
/// {
///     ComputeGradients();
///     optimizer.Step();
///     optimizer.Switch(gradients);
/// }
/// </code>
/// </example>
public sealed class Swats : Optimizer
{
    /// <summary>The rule's name.</summary>
    internal const string Name = "swats";

    /// <inheritdoc cref="Adam(ParameterSet, AdamOptions?)"/>
    [OverloadResolutionPriority(1)] // "new() { … }" and null are one group's
    public Swats(ParameterSet parameters, SwatsOptions? options = null)
        : this(parameters, [options ?? new SwatsOptions()])
    {
    }

    /// <inheritdoc cref="Adam(ParameterSet, IReadOnlyList{AdamOptions})"/>
    public Swats(ParameterSet parameters, IReadOnlyList<SwatsOptions> options)
        : base(parameters, options)
    {
        Groups = GroupsOf<SwatsGroup>();
    }

    /// <inheritdoc/>
    public override IReadOnlyList<SwatsGroup> Groups { get; }

    /// <summary>
    /// The decay rate of the first moment, and of the momentum buffer after the switch, in [0, 1). It is that of group 0, and
    /// may change between steps.
    /// </summary>
    /// <inheritdoc cref="SwatsGroup.Beta1" path="/exception"/>
    public double Beta1
    {
        get => Groups[0].Beta1;
        set => Groups[0].Beta1 = value;
    }

    /// <summary>
    /// The decay rate of the second moment and of Λ, in [0, 1). It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="SwatsGroup.Beta2" path="/exception"/>
    public double Beta2
    {
        get => Groups[0].Beta2;
        set => Groups[0].Beta2 = value;
    }

    /// <summary>
    /// What is added to the root of the second moment, and how near to its average an SGD learning rate must be for the tensor
    /// to switch; 0 or 1.18e-38 to 3.4e38. It is that of group 0, and may change between steps.
    /// </summary>
    /// <inheritdoc cref="SwatsGroup.Epsilon" path="/exception"/>
    public double Epsilon
    {
        get => Groups[0].Epsilon;
        set => Groups[0].Epsilon = value;
    }

    /// <summary>
    /// After a step: takes the average of the fitting SGD learning rates on for each tensor that has not switched, and switches those
    /// for which it has settled. The next step of these is SGD's.
    /// </summary>
    /// <param name="gradients">
    /// The gradients of the step that was just taken, in the order of registration, as they were given: neither clipped nor
    /// scaled, which the optimizer must not do, either. A pointer of 0 for a tensor that had none.
    /// </param>
    /// <returns>The number of tensors that have switched, before and now.</returns>
    /// <exception cref="ArgumentException">There are fewer or more gradients than tensors, or one has another length.</exception>
    /// <exception cref="InvalidOperationException">
    /// <see cref="Optimizer.GradientOptions"/> is set: the steps did not take the gradients as they are.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public int Switch(ReadOnlySpan<TensorRef> gradients) => SwitchAfterStep(this, gradients);

    /// <summary>As <see cref="Switch"/>, for any optimizer of the rule, such as a <see cref="RuleOptimizer"/>.</summary>
    /// <param name="optimizer">An optimizer of the rule "swats".</param>
    /// <param name="gradients">The gradients, as <see cref="Switch"/> takes them.</param>
    /// <returns>The number of tensors that have switched, before and now.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> is null.</exception>
    /// <exception cref="ArgumentException">It is of another rule; or as <see cref="Switch"/> has it.</exception>
    /// <inheritdoc cref="Switch" path="/exception"/>
    public static int SwitchAfterStep(Optimizer optimizer, ReadOnlySpan<TensorRef> gradients)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        if (optimizer.RuleName != Name)
        {
            throw new ArgumentException($"The optimizer's rule is {optimizer.RuleName}, not swats.", nameof(optimizer));
        }

        if (optimizer.GradientOptions is not null)
        {
            throw new InvalidOperationException(
                "GradientOptions is set, so that the steps take other gradients than those that the switch is computed from. Clear it.");
        }

        ParameterSet set = optimizer.ParameterSet;
        set.RequireCount(gradients.Length, nameof(gradients));
        double[] lambda = new double[set.Count], sgd = new double[set.Count], rate = new double[set.Count];
        optimizer.GetRunningScalars("lambda", lambda);
        optimizer.GetRunningScalars("sgd", sgd);
        optimizer.GetRunningScalars("sgd_lr", rate);
        long[] steps = new long[set.Count];
        optimizer.GetStepCounts(steps);
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            TensorRef gradient = gradients[tensor];
            if (gradient.Pointer == 0 || sgd[tensor] != 0)
            {
                continue;
            }

            if (gradient.ElementCount != set.ElementCounts[tensor])
            {
                throw new ArgumentException(
                    $"gradients[{tensor}] has {gradient.ElementCount} elements, but the tensor has {set.ElementCounts[tensor]}.",
                    nameof(gradients));
            }

            OptimizerGroup group = optimizer.Groups[set.GetGroup(tensor)];
            long step = steps[tensor];
            (double ofStep, double withGradient) = Sums(optimizer, group, tensor, step, gradient);
            if (step == 0 || withGradient == 0)
            {
                continue;
            }

            double beta2 = group["beta2"];
            double fitting = -ofStep / withGradient;
            if (!double.IsFinite(fitting))
            {
                continue; // The gradient was not.
            }

            lambda[tensor] = (beta2 * lambda[tensor]) + ((1 - beta2) * fitting);
            double average = lambda[tensor] / (1 - Math.Pow(beta2, step));
            if (step > 1 && Math.Abs(average - fitting) < group["eps"])
            {
                sgd[tensor] = 1;
                rate[tensor] = average;
            }
        }

        optimizer.SetRunningScalars("lambda", lambda);
        optimizer.SetRunningScalars("sgd", sgd);
        optimizer.SetRunningScalars("sgd_lr", rate);
        return sgd.Count(static value => value != 0);
    }

    /// <summary>p·p and p·g, for the step p that a tensor has just taken and the gradient g that the rule has seen.</summary>
    private static (double OfStep, double WithGradient) Sums(
        Optimizer optimizer, OptimizerGroup group, int tensor, long step, TensorRef gradient)
    {
        ParameterSet set = optimizer.ParameterSet;
        int count = checked((int)gradient.ElementCount);
        float[] first = new float[count], second = new float[count], given = new float[count];
        optimizer.CopyStateTo("exp_avg", tensor, first);
        optimizer.CopyStateTo("exp_avg_sq", tensor, second);
        gradient.CopyTo(given);
        double weightDecay = set.GetWeightDecay(tensor) ?? group.WeightDecay;
        float[] parameters = new float[weightDecay != 0 ? count : 0];
        if (weightDecay != 0)
        {
            set.GetParameter(tensor).CopyTo(parameters);
        }

        double sign = group.Maximize ? -1 : 1;
        double size = -group.LearningRate * set.GetLearningRateScale(tensor) * Math.Sqrt(1 - Math.Pow(group["beta2"], step))
            / (1 - Math.Pow(group["beta1"], step));
        double epsilon = group["eps"];
        (double ofStep, double withGradient) = (0, 0);
        for (int i = 0; i < count; i++)
        {
            // The step itself, and not the difference of parameters, which has lost digits.
            double p = size * first[i] / (Math.Sqrt(second[i]) + epsilon);
            double g = sign * given[i];
            if (weightDecay != 0)
            {
                g += weightDecay * (parameters[i] - p);
            }

            ofStep += p * p;
            withGradient += p * g;
        }

        return (ofStep, withGradient);
    }
}

/// <summary>A group of <see cref="Swats"/>.</summary>
public sealed class SwatsGroup : OptimizerGroup
{
    internal SwatsGroup(Optimizer optimizer, int index, HyperparameterValues values)
        : base(optimizer, index, values)
    {
    }

    /// <summary>
    /// The decay rate of the first moment, and of the momentum buffer after the switch, in [0, 1). It may change between
    /// steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1
    {
        get => this["beta1"];
        set => Set("beta1", value);
    }

    /// <summary>The decay rate of the second moment and of Λ, in [0, 1). It may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => this["beta2"];
        set => Set("beta2", value);
    }

    /// <summary>
    /// What is added to the root of the second moment, and how near to its average an SGD learning rate must be for the tensor
    /// to switch; 0 or 1.18e-38 to 3.4e38. It may change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => this["eps"];
        set => Set("eps", value);
    }
}
