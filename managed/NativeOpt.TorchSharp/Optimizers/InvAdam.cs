using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// InvAdam (arXiv 2603.07122, "Combining Adam and its inverse counterpart…"): θ ← θ − η·m̂·√v̂. Steps grow with the second
    /// moment, which leaves sharp minima.
    /// </summary>
    public sealed class InvAdam : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("invadam"));

        internal InvAdam(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.InvAdam"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The weight decay, at least 0: added to the gradient, unless it is decoupled.</param>
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
            public static Modules.InvAdam InvAdam(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false,
                bool decoupled_weight_decay = false, bool inverse_epsilon = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    InvAdamOptions(lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay, inverse_epsilon),
                    step_options);

            /// <inheritdoc cref="InvAdam(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, bool, bool, StepOptions)"/>
            public static Modules.InvAdam InvAdam(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false,
                bool decoupled_weight_decay = false, bool inverse_epsilon = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    InvAdamOptions(lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay, inverse_epsilon),
                    step_options);

            /// <inheritdoc cref="InvAdam(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, bool, bool, StepOptions)"/>
            public static Modules.InvAdam InvAdam(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false,
                bool decoupled_weight_decay = false, bool inverse_epsilon = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    InvAdamOptions(lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay, inverse_epsilon),
                    step_options);

            private static FusedOptions InvAdamOptions(
                double lr, double beta1, double beta2, double eps, double weight_decay, bool amsgrad, bool maximize,
                bool decoupled_weight_decay, bool inverse_epsilon) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["amsgrad"] = amsgrad ? 1 : 0,
                    ["maximize"] = maximize ? 1 : 0,
                    ["decoupled_weight_decay"] = decoupled_weight_decay ? 1 : 0,
                    ["inverse_epsilon"] = inverse_epsilon ? 1 : 0,
                };
        }
    }
}
