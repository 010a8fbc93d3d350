using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// DualAdam (arXiv 2603.07122, "Combining Adam and its inverse counterpart…"): starts as InvAdam and turns into Adam,
    /// θ ← θ − η·(a·m̂·√v̂ + (1 − a)·m̂/(√v̂ + ε)) with a = max(0, 1 − ξt).
    /// </summary>
    public sealed class DualAdam : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("dualadam"));

        internal DualAdam(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.DualAdam"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The weight decay, at least 0: added to the gradient, unless it is decoupled.</param>
            /// <param name="switching_rate">ξ, at least 0: the weight of the inverse part at step t is max(0, 1 − ξt).</param>
            /// <param name="amsgrad">Whether to use the running maximum of the second moment (Reddi et al. 2018).</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="decoupled_weight_decay">Whether weight decay shrinks the parameters, as AdamW does.</param>
            /// <param name="inverse_epsilon">
            /// Whether the inverse part multiplies by (√v̂ + ε), as the authors' published code does, and not by √v̂.
            /// </param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.DualAdam DualAdam(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double switching_rate = 8e-5, bool amsgrad = false,
                bool maximize = false, bool decoupled_weight_decay = false, bool inverse_epsilon = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    DualAdamOptions(
                        lr, beta1, beta2, eps, weight_decay, switching_rate, amsgrad, maximize, decoupled_weight_decay,
                        inverse_epsilon),
                    step_options);

            /// <inheritdoc cref="DualAdam(IEnumerable{Parameter}, double, double, double, double, double, double, bool, bool, bool, bool, StepOptions)"/>
            public static Modules.DualAdam DualAdam(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, double switching_rate = 8e-5,
                bool amsgrad = false, bool maximize = false, bool decoupled_weight_decay = false, bool inverse_epsilon = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    DualAdamOptions(
                        lr, beta1, beta2, eps, weight_decay, switching_rate, amsgrad, maximize, decoupled_weight_decay,
                        inverse_epsilon),
                    step_options);

            /// <inheritdoc cref="DualAdam(IEnumerable{Parameter}, double, double, double, double, double, double, bool, bool, bool, bool, StepOptions)"/>
            public static Modules.DualAdam DualAdam(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double switching_rate = 8e-5, bool amsgrad = false,
                bool maximize = false, bool decoupled_weight_decay = false, bool inverse_epsilon = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    DualAdamOptions(
                        lr, beta1, beta2, eps, weight_decay, switching_rate, amsgrad, maximize, decoupled_weight_decay,
                        inverse_epsilon),
                    step_options);

            private static FusedOptions DualAdamOptions(
                double lr, double beta1, double beta2, double eps, double weight_decay, double switching_rate, bool amsgrad,
                bool maximize, bool decoupled_weight_decay, bool inverse_epsilon) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["switching_rate"] = switching_rate,
                    ["amsgrad"] = amsgrad ? 1 : 0,
                    ["maximize"] = maximize ? 1 : 0,
                    ["decoupled_weight_decay"] = decoupled_weight_decay ? 1 : 0,
                    ["inverse_epsilon"] = inverse_epsilon ? 1 : 0,
                };
        }
    }
}
