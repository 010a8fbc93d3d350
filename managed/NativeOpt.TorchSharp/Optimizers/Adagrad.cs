using global::TorchSharp.Modules;
using TorchAdagrad = global::TorchSharp.Modules.Adagrad;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Adagrad (Duchi et al. 2011, "Adaptive subgradient methods for online learning and stochastic optimization"), with L2
    /// weight decay, in place of <c>torch.optim.Adagrad</c>. Options, groups and state files are those of TorchSharp's
    /// class.
    /// </summary>
    public sealed class Adagrad : FusedOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("adagrad", typeof(TorchAdagrad)));

        internal Adagrad(ParameterSource parameters, TorchAdagrad.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>
            /// Adagrad in place of <c>torch.optim.Adagrad</c>, with the same arguments; see <see cref="Modules.Adagrad"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="lr_decay">
            /// How fast the learning rate falls: step t takes lr / (1 + (t − 1)·lr_decay); at least 0.
            /// </param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="initial_accumulator_value">What the sum of squared gradients starts at, at least 0.</param>
            /// <param name="eps">What is added to the root of the sum, at least 0.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Adagrad Adagrad(
                IEnumerable<Parameter> parameters, double lr = 1e-2, double lr_decay = 0, double weight_decay = 0,
                double initial_accumulator_value = 0, double eps = 1e-10, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdagradGroup),
                    AdagradOptions(lr, lr_decay, weight_decay, initial_accumulator_value, eps), step_options);

            /// <inheritdoc cref="Adagrad(IEnumerable{Parameter}, double, double, double, double, double, StepOptions)"/>
            public static Modules.Adagrad Adagrad(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-2, double lr_decay = 0,
                double weight_decay = 0, double initial_accumulator_value = 0, double eps = 1e-10,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdagradGroup),
                    AdagradOptions(lr, lr_decay, weight_decay, initial_accumulator_value, eps), step_options);

            /// <inheritdoc cref="Adagrad(IEnumerable{Parameter}, double, double, double, double, double, StepOptions)"/>
            public static Modules.Adagrad Adagrad(
                IEnumerable<TorchAdagrad.ParamGroup> parameters, double lr = 1e-2, double lr_decay = 0, double weight_decay = 0,
                double initial_accumulator_value = 0, double eps = 1e-10, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters), AdagradOptions(lr, lr_decay, weight_decay, initial_accumulator_value, eps),
                    step_options);

            private static TorchAdagrad.ParamGroup AdagradGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchAdagrad.Options AdagradOptions(
                double lr, double lrDecay, double weightDecay, double initialAccumulatorValue, double eps) => new()
                {
                    LearningRate = lr,
                    lr_decay = lrDecay,
                    weight_decay = weightDecay,
                    initial_accumulator_value = initialAccumulatorValue,
                    eps = eps,
                };
        }
    }
}
