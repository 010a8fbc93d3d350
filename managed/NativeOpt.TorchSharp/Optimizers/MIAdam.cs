using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// MIAdam (Jin et al. 2025, arXiv 2412.12473, "A method for enhancing generalization of Adam by multiple
    /// integrations"), as the authors' code has it, with L2 weight decay and with steps in place of epochs.
    /// </summary>
    public sealed class MIAdam : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("miadam"));

        internal MIAdam(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.MIAdam"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="kappa">The decay rate of the integrals, in [0, 1).</param>
            /// <param name="order">How often the first moment is integrated, 1 to 3.</param>
            /// <param name="switch_step">The last step with the integrals, at least 0; with 0 the rule is Adam.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.MIAdam MIAdam(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double kappa = 0.98, int order = 1, long switch_step = 0,
                bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    MIAdamOptions(lr, beta1, beta2, eps, weight_decay, kappa, order, switch_step, maximize), step_options);

            /// <inheritdoc cref="MIAdam(IEnumerable{Parameter}, double, double, double, double, double, double, int, long, bool, StepOptions)"/>
            public static Modules.MIAdam MIAdam(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, double kappa = 0.98, int order = 1,
                long switch_step = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    MIAdamOptions(lr, beta1, beta2, eps, weight_decay, kappa, order, switch_step, maximize), step_options);

            /// <inheritdoc cref="MIAdam(IEnumerable{Parameter}, double, double, double, double, double, double, int, long, bool, StepOptions)"/>
            public static Modules.MIAdam MIAdam(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double kappa = 0.98, int order = 1, long switch_step = 0,
                bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    MIAdamOptions(lr, beta1, beta2, eps, weight_decay, kappa, order, switch_step, maximize), step_options);

            private static FusedOptions MIAdamOptions(
                double lr, double beta1, double beta2, double eps, double weight_decay, double kappa, int order,
                long switch_step, bool maximize) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["kappa"] = kappa,
                    ["order"] = order,
                    ["switch_step"] = switch_step,
                    ["maximize"] = maximize ? 1 : 0,
                };
        }
    }
}
