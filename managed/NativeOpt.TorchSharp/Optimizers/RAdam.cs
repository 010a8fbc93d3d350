using global::TorchSharp;
using global::TorchSharp.Modules;
using TorchRAdam = global::TorchSharp.Modules.RAdam;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// RAdam (Liu et al. 2020, arXiv 1908.03265, "On the variance of the adaptive learning rate and beyond", algorithm 2),
    /// with L2 weight decay, in place of <c>torch.optim.RAdam</c>. Options, groups and state files are those of
    /// TorchSharp's class.
    /// </summary>
    /// <remarks>
    /// The update is multiplied by the learning rate once, as in the paper and in PyTorch. TorchSharp's class multiplies it
    /// twice in rectified steps, which are those from the sixth on with the default betas. So there a rate η acts as η²
    /// does here.
    /// </remarks>
    public sealed class RAdam : FusedOptimizer, torch.optim.IBetas
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("radam", typeof(TorchRAdam)));

        internal RAdam(ParameterSource parameters, TorchRAdam.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>The decay rates that groups added later have where they set none, as TorchSharp has it.</summary>
        public (double, double) Betas
        {
            get => (Options.beta1!.Value, Options.beta2!.Value);
            set => (Options.beta1, Options.beta2) = value;
        }

        private TorchRAdam.Options Options => (TorchRAdam.Options)Defaults;
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>
            /// RAdam in place of <c>torch.optim.RAdam</c>, with the same arguments; see <see cref="Modules.RAdam"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.RAdam RAdam(
                IEnumerable<Parameter> parameters, double lr = 0.002, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, RAdamGroup), RAdamOptions(lr, beta1, beta2, eps, weight_decay),
                    step_options);

            /// <inheritdoc cref="RAdam(IEnumerable{Parameter}, double, double, double, double, double, StepOptions)"/>
            public static Modules.RAdam RAdam(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 0.002, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, RAdamGroup), RAdamOptions(lr, beta1, beta2, eps, weight_decay),
                    step_options);

            /// <inheritdoc cref="RAdam(IEnumerable{Parameter}, double, double, double, double, double, StepOptions)"/>
            public static Modules.RAdam RAdam(
                IEnumerable<TorchRAdam.ParamGroup> parameters, double lr = 0.002, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, StepOptions? step_options = null) =>
                new(ParameterSource.Of(parameters), RAdamOptions(lr, beta1, beta2, eps, weight_decay), step_options);

            private static TorchRAdam.ParamGroup RAdamGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchRAdam.Options RAdamOptions(
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
