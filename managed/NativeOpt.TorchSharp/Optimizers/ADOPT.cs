using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// ADOPT (Taniguchi et al. 2024, arXiv 2411.02853, "ADOPT: modified Adam can converge with any β₂ with the optimal
    /// rate"), the clipped version, as the authors' code has it.
    /// </summary>
    public sealed class ADOPT : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("adopt"));

        internal ADOPT(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.ADOPT"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">The smallest denominator, at least 0.</param>
            /// <param name="weight_decay">The weight decay, at least 0.</param>
            /// <param name="clip_exponent">
            /// The power of the steps taken to which normalised gradients are clipped, at least 0.
            /// </param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="decoupled_weight_decay">
            /// Whether weight decay shrinks the parameter and is not added to the gradient.
            /// </param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.ADOPT ADOPT(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.9999,
                double eps = 1e-6, double weight_decay = 0, double clip_exponent = 0.25, bool maximize = false,
                bool decoupled_weight_decay = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    ADOPTOptions(
                        lr, beta1, beta2, eps, weight_decay, clip_exponent, maximize, decoupled_weight_decay),
                    step_options);

            /// <inheritdoc cref="ADOPT(IEnumerable{Parameter}, double, double, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.ADOPT ADOPT(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.9999, double eps = 1e-6, double weight_decay = 0, double clip_exponent = 0.25,
                bool maximize = false, bool decoupled_weight_decay = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    ADOPTOptions(
                        lr, beta1, beta2, eps, weight_decay, clip_exponent, maximize, decoupled_weight_decay),
                    step_options);

            /// <inheritdoc cref="ADOPT(IEnumerable{Parameter}, double, double, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.ADOPT ADOPT(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.9999,
                double eps = 1e-6, double weight_decay = 0, double clip_exponent = 0.25, bool maximize = false,
                bool decoupled_weight_decay = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    ADOPTOptions(
                        lr, beta1, beta2, eps, weight_decay, clip_exponent, maximize, decoupled_weight_decay),
                    step_options);

            private static FusedOptions ADOPTOptions(
                double lr, double beta1, double beta2, double eps, double weight_decay, double clip_exponent, bool maximize,
                bool decoupled_weight_decay) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["clip_exponent"] = clip_exponent,
                    ["maximize"] = maximize ? 1 : 0,
                    ["decoupled_weight_decay"] = decoupled_weight_decay ? 1 : 0,
                };
        }
    }
}
