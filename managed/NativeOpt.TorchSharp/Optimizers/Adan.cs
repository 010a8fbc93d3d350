using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Adan (Xie et al. 2022, arXiv 2208.06677, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models"),
    /// as the authors' code has it.
    /// </summary>
    public sealed class Adan : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("adan"));

        internal Adan(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.Adan"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the gradient's running average, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the running average of the gradient's differences, in [0, 1).</param>
            /// <param name="beta3">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The weight decay, at least 0.</param>
            /// <param name="no_prox">
            /// Whether weight decay shrinks the parameter before the update, rather than dividing it by 1 + ηλ after it.
            /// </param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Adan Adan(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.98, double beta2 = 0.92,
                double beta3 = 0.99, double eps = 1e-8, double weight_decay = 0, bool no_prox = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup), AdanOptions(lr, beta1, beta2, beta3, eps, weight_decay, no_prox),
                    step_options);

            /// <inheritdoc cref="Adan(IEnumerable{Parameter}, double, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Adan Adan(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.98,
                double beta2 = 0.92, double beta3 = 0.99, double eps = 1e-8, double weight_decay = 0, bool no_prox = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup), AdanOptions(lr, beta1, beta2, beta3, eps, weight_decay, no_prox),
                    step_options);

            /// <inheritdoc cref="Adan(IEnumerable{Parameter}, double, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Adan Adan(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.98, double beta2 = 0.92,
                double beta3 = 0.99, double eps = 1e-8, double weight_decay = 0, bool no_prox = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters), AdanOptions(lr, beta1, beta2, beta3, eps, weight_decay, no_prox),
                    step_options);

            private static FusedOptions AdanOptions(
                double lr, double beta1, double beta2, double beta3, double eps, double weight_decay, bool no_prox) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["beta3"] = beta3,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["no_prox"] = no_prox ? 1 : 0,
                };
        }
    }
}
