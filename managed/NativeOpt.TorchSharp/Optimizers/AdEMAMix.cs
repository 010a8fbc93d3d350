using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// AdEMAMix (Pagliardini et al. 2024, arXiv 2409.03137, "The AdEMAMix optimizer: better, faster, older", algorithm 1),
    /// with decoupled weight decay.
    /// </summary>
    public sealed class AdEMAMix : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("ademamix"));

        internal AdEMAMix(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.AdEMAMix"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the fast first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="beta3">The decay rate of the slow first moment, in [0, 1).</param>
            /// <param name="alpha">The weight of the slow first moment, at least 0.</param>
            /// <param name="t_alpha_beta3">
            /// The step at which alpha and beta3 have grown to what they are, at least 0; 0: from the first.
            /// </param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The decoupled weight decay, at least 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.AdEMAMix AdEMAMix(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double beta3 = 0.9999, double alpha = 5, long t_alpha_beta3 = 0, double eps = 1e-8, double weight_decay = 0,
                bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    AdEMAMixOptions(lr, beta1, beta2, beta3, alpha, t_alpha_beta3, eps, weight_decay, maximize), step_options);

            /// <inheritdoc cref="AdEMAMix(IEnumerable{Parameter}, double, double, double, double, double, long, double, double, bool, StepOptions)"/>
            public static Modules.AdEMAMix AdEMAMix(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.999, double beta3 = 0.9999, double alpha = 5, long t_alpha_beta3 = 0, double eps = 1e-8,
                double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    AdEMAMixOptions(lr, beta1, beta2, beta3, alpha, t_alpha_beta3, eps, weight_decay, maximize), step_options);

            /// <inheritdoc cref="AdEMAMix(IEnumerable{Parameter}, double, double, double, double, double, long, double, double, bool, StepOptions)"/>
            public static Modules.AdEMAMix AdEMAMix(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double beta3 = 0.9999, double alpha = 5, long t_alpha_beta3 = 0, double eps = 1e-8, double weight_decay = 0,
                bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    AdEMAMixOptions(lr, beta1, beta2, beta3, alpha, t_alpha_beta3, eps, weight_decay, maximize), step_options);

            private static FusedOptions AdEMAMixOptions(
                double lr, double beta1, double beta2, double beta3, double alpha, long t_alpha_beta3, double eps,
                double weight_decay, bool maximize) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["beta3"] = beta3,
                    ["alpha"] = alpha,
                    ["t_alpha_beta3"] = t_alpha_beta3,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["maximize"] = maximize ? 1 : 0,
                };
        }
    }
}
