using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Lion (Chen et al. 2023, arXiv 2302.06675, "Symbolic discovery of optimization algorithms", algorithm 2), with
    /// decoupled weight decay.
    /// </summary>
    public sealed class Lion : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("lion"));

        internal Lion(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.Lion"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The weight of the momentum in the step's sign, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the momentum, in [0, 1).</param>
            /// <param name="weight_decay">The decoupled weight decay, at least 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Lion Lion(
                IEnumerable<Parameter> parameters, double lr = 1e-4, double beta1 = 0.9, double beta2 = 0.99,
                double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup), LionOptions(lr, beta1, beta2, weight_decay, maximize),
                    step_options);

            /// <inheritdoc cref="Lion(IEnumerable{Parameter}, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Lion Lion(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-4, double beta1 = 0.9,
                double beta2 = 0.99, double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup), LionOptions(lr, beta1, beta2, weight_decay, maximize),
                    step_options);

            /// <inheritdoc cref="Lion(IEnumerable{Parameter}, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Lion Lion(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-4, double beta1 = 0.9, double beta2 = 0.99,
                double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(ParameterSource.Of(parameters), LionOptions(lr, beta1, beta2, weight_decay, maximize), step_options);

            private static FusedOptions LionOptions(
                double lr, double beta1, double beta2, double weight_decay, bool maximize) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["weight_decay"] = weight_decay,
                    ["maximize"] = maximize ? 1 : 0,
                };
        }
    }
}
