using global::TorchSharp;
using global::TorchSharp.Modules;
using TorchAdamax = global::TorchSharp.Modules.Adamax;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Adamax (Kingma &amp; Ba 2015, arXiv 1412.6980, "Adam: a method for stochastic optimization", algorithm 2), with L2
    /// weight decay, in place of <c>torch.optim.Adamax</c>. Options, groups and state files are those of TorchSharp's
    /// class.
    /// </summary>
    public sealed class Adamax : FusedOptimizer, torch.optim.IBetas
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("adamax", typeof(TorchAdamax)));

        internal Adamax(ParameterSource parameters, TorchAdamax.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>The decay rates that groups added later have where they set none, as TorchSharp has it.</summary>
        public (double, double) Betas
        {
            get => (Options.beta1!.Value, Options.beta2!.Value);
            set => (Options.beta1, Options.beta2) = value;
        }

        private TorchAdamax.Options Options => (TorchAdamax.Options)Defaults;
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>
            /// Adamax in place of <c>torch.optim.Adamax</c>, with the same arguments; see <see cref="Modules.Adamax"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the infinity norm, in [0, 1).</param>
            /// <param name="eps">What is added to the gradient's absolute value, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Adamax Adamax(
                IEnumerable<Parameter> parameters, double lr = 0.002, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdamaxGroup), AdamaxOptions(lr, beta1, beta2, eps, weight_decay),
                    step_options);

            /// <inheritdoc cref="Adamax(IEnumerable{Parameter}, double, double, double, double, double, StepOptions)"/>
            public static Modules.Adamax Adamax(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 0.002, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdamaxGroup), AdamaxOptions(lr, beta1, beta2, eps, weight_decay),
                    step_options);

            /// <inheritdoc cref="Adamax(IEnumerable{Parameter}, double, double, double, double, double, StepOptions)"/>
            public static Modules.Adamax Adamax(
                IEnumerable<TorchAdamax.ParamGroup> parameters, double lr = 0.002, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, StepOptions? step_options = null) =>
                new(ParameterSource.Of(parameters), AdamaxOptions(lr, beta1, beta2, eps, weight_decay), step_options);

            private static TorchAdamax.ParamGroup AdamaxGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchAdamax.Options AdamaxOptions(
                double lr, double beta1, double beta2, double eps, double weightDecay) => new()
                {
                    LearningRate = lr,
                    beta1 = beta1,
                    beta2 = beta2,
                    eps = eps,
                    weight_decay = weightDecay,
                };
        }
    }
}
