using global::TorchSharp;
using global::TorchSharp.Modules;
using TorchAdamW = global::TorchSharp.Modules.AdamW;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// AdamW (Loshchilov &amp; Hutter 2019, "Decoupled weight decay regularization", algorithm 2), in place of
    /// <c>torch.optim.AdamW</c>. Options, groups and state files are those of TorchSharp's class.
    /// </summary>
    public sealed class AdamW : FusedOptimizer, torch.optim.IBetas
    {
        private static readonly Lazy<RuleBinding> Binding =
            new(static () => new RuleBinding("adam", typeof(TorchAdamW), null, "decoupled_weight_decay"));

        internal AdamW(ParameterSource parameters, TorchAdamW.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>The decay rates that groups added later have where they set none, as TorchSharp has it.</summary>
        public (double, double) Betas
        {
            get => (Options.beta1!.Value, Options.beta2!.Value);
            set => (Options.beta1, Options.beta2) = value;
        }

        private TorchAdamW.Options Options => (TorchAdamW.Options)Defaults;
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>AdamW in place of <c>torch.optim.AdamW</c>, with the same arguments; see <see cref="Modules.AdamW"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The decoupled weight decay, at least 0.</param>
            /// <param name="amsgrad">Whether to use the running maximum of the second moment (Reddi et al. 2018).</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.AdamW AdamW(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
                double weight_decay = 0, bool amsgrad = false, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdamWGroup),
                    AdamWOptions(lr, beta1, beta2, eps, weight_decay, amsgrad, maximize), step_options);

            /// <inheritdoc cref="AdamW(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.AdamW AdamW(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdamWGroup),
                    AdamWOptions(lr, beta1, beta2, eps, weight_decay, amsgrad, maximize), step_options);

            /// <inheritdoc cref="AdamW(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.AdamW AdamW(
                IEnumerable<TorchAdamW.ParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, bool amsgrad = false, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    AdamWOptions(lr, beta1, beta2, eps, weight_decay, amsgrad, maximize), step_options);

            private static TorchAdamW.ParamGroup AdamWGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchAdamW.Options AdamWOptions(
                double lr, double beta1, double beta2, double eps, double weightDecay, bool amsgrad, bool maximize) => new()
                {
                    LearningRate = lr,
                    beta1 = beta1,
                    beta2 = beta2,
                    eps = eps,
                    weight_decay = weightDecay,
                    amsgrad = amsgrad,
                    maximize = maximize,
                };
        }
    }
}
