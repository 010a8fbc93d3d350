using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Sophia (Liu et al. 2023, arXiv 2305.14342, "Sophia: a scalable stochastic second-order optimizer for language model
    /// pre-training", algorithm 3).
    /// </summary>
    /// <remarks>
    /// Every few steps, 10 in the paper, give an estimate of the Hessian's diagonal to the next step with <see cref="set_hessian"/>,
    /// for each parameter. Until the first estimate each step has the length η in every element.
    /// </remarks>
    public sealed class Sophia : RuleOptimizer
    {
        private const string HessianName = "hessian";

        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("sophia"));

        internal Sophia(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>Gives an estimate of the Hessian's diagonal for one parameter to the next step, which uses it up.</summary>
        /// <param name="parameter">The parameter.</param>
        /// <param name="hessian">The estimate, of the parameter's shape and on its device. It is copied.</param>
        /// <inheritdoc cref="FusedOptimizer.set_input" path="/exception"/>
        public void set_hessian(Parameter parameter, torch.Tensor hessian) => set_input(HessianName, parameter, hessian);
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>Makes an optimizer of the rule <see cref="Modules.Sophia"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the gradient's running average, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the running average of the Hessian's diagonal, in [0, 1).</param>
            /// <param name="gamma">What scales the Hessian's diagonal, at least 0; 0.05 is the paper's for Sophia-G.</param>
            /// <param name="eps">The smallest denominator, at least 0.</param>
            /// <param name="weight_decay">The decoupled weight decay, at least 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Sophia Sophia(
                IEnumerable<Parameter> parameters, double lr = 1e-4, double beta1 = 0.965, double beta2 = 0.99,
                double gamma = 0.01, double eps = 1e-12, double weight_decay = 0.1, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    SophiaOptions(lr, beta1, beta2, gamma, eps, weight_decay, maximize), step_options);

            /// <inheritdoc cref="Sophia(IEnumerable{Parameter}, double, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Sophia Sophia(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-4, double beta1 = 0.965,
                double beta2 = 0.99, double gamma = 0.01, double eps = 1e-12, double weight_decay = 0.1, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    SophiaOptions(lr, beta1, beta2, gamma, eps, weight_decay, maximize), step_options);

            /// <inheritdoc cref="Sophia(IEnumerable{Parameter}, double, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Sophia Sophia(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-4, double beta1 = 0.965, double beta2 = 0.99,
                double gamma = 0.01, double eps = 1e-12, double weight_decay = 0.1, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters), SophiaOptions(lr, beta1, beta2, gamma, eps, weight_decay, maximize),
                    step_options);

            private static FusedOptions SophiaOptions(
                double lr, double beta1, double beta2, double gamma, double eps, double weight_decay, bool maximize) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["gamma"] = gamma,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["maximize"] = maximize ? 1 : 0,
                };
        }
    }
}
