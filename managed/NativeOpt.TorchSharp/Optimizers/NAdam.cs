using global::TorchSharp;
using global::TorchSharp.Modules;
using TorchNAdam = global::TorchSharp.Modules.NAdam;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// NAdam (Dozat 2016, "Incorporating Nesterov momentum into Adam"), with L2 weight decay, in place of
    /// <c>torch.optim.NAdam</c>. Options, groups and state files are those of TorchSharp's class.
    /// </summary>
    /// <remarks><c>state_dict</c> brings the <c>mu_product</c> of the states up to date.</remarks>
    public sealed class NAdam : FusedOptimizer, torch.optim.IBetas
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("nadam", typeof(TorchNAdam)));

        internal NAdam(ParameterSource parameters, TorchNAdam.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>The decay rates that groups added later have where they set none, as TorchSharp has it.</summary>
        public (double, double) Betas
        {
            get => (Options.beta1!.Value, Options.beta2!.Value);
            set => (Options.beta1, Options.beta2) = value;
        }

        private TorchNAdam.Options Options => (TorchNAdam.Options)Defaults;
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>
            /// NAdam in place of <c>torch.optim.NAdam</c>, with the same arguments; see <see cref="Modules.NAdam"/>.
            /// </summary>
            /// <param name="named_parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="momentum_decay">
            /// ψ, how fast the decay rate of the momentum grows from β₁/2 to β₁, at least 0.
            /// </param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="named_parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.NAdam NAdam(
                IEnumerable<Parameter> named_parameters, double lr = 0.002, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double momentum_decay = 4e-3, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(named_parameters, NAdamGroup),
                    NAdamOptions(lr, beta1, beta2, eps, weight_decay, momentum_decay), step_options);

            /// <inheritdoc cref="NAdam(IEnumerable{Parameter}, double, double, double, double, double, double, StepOptions)"/>
            public static Modules.NAdam NAdam(
                IEnumerable<(string name, Parameter parameter)> named_parameters, double lr = 0.002, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, double momentum_decay = 4e-3,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(named_parameters, NAdamGroup),
                    NAdamOptions(lr, beta1, beta2, eps, weight_decay, momentum_decay), step_options);

            /// <inheritdoc cref="NAdam(IEnumerable{Parameter}, double, double, double, double, double, double, StepOptions)"/>
            public static Modules.NAdam NAdam(
                IEnumerable<TorchNAdam.ParamGroup> parameters, double lr = 0.002, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double momentum_decay = 4e-3, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters), NAdamOptions(lr, beta1, beta2, eps, weight_decay, momentum_decay),
                    step_options);

            private static TorchNAdam.ParamGroup NAdamGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchNAdam.Options NAdamOptions(
                double lr, double beta1, double beta2, double eps, double weightDecay, double momentumDecay) => new()
                {
                    LearningRate = lr,
                    beta1 = beta1,
                    beta2 = beta2,
                    eps = eps,
                    weight_decay = weightDecay,
                    momentum_decay = momentumDecay,
                };
        }
    }
}
