using global::TorchSharp;
using global::TorchSharp.Modules;
using TorchRMSProp = global::TorchSharp.Modules.RMSProp;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// RMSprop (Tieleman &amp; Hinton 2012, "Neural networks for machine learning", lecture 6.5; centered: Graves 2013,
    /// arXiv 1308.0850, equations 38 to 41), with L2 weight decay, in place of <c>torch.optim.RMSProp</c>. Options, groups
    /// and state files are those of TorchSharp's class.
    /// </summary>
    /// <remarks>
    /// There is a momentum buffer only with momentum, and a running average of the gradient only with centered.
    /// TorchSharp's class always has both. It reads the files of this class all the same, but a dictionary
    /// (<c>state_dict</c>) only if both are there.
    /// </remarks>
    public sealed class RMSProp : FusedOptimizer, torch.optim.IMomentum
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("rmsprop", typeof(TorchRMSProp)));

        internal RMSProp(ParameterSource parameters, TorchRMSProp.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>The momentum that groups added later have where they set none, as TorchSharp has it.</summary>
        public double Momentum
        {
            get => Options.momentum!.Value;
            set => Options.momentum = value;
        }

        private TorchRMSProp.Options Options => (TorchRMSProp.Options)Defaults;
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>
            /// RMSProp in place of <c>torch.optim.RMSProp</c>, with the same arguments; see <see cref="Modules.RMSProp"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="alpha">The decay rate of the running averages, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="momentum">The decay rate of the momentum, at least 0; 0: none.</param>
            /// <param name="centered">
            /// Whether the update is divided by the root of the gradient's variance, and not of its second moment.
            /// </param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.RMSProp RMSProp(
                IEnumerable<Parameter> parameters, double lr = 0.01, double alpha = 0.99, double eps = 1e-8,
                double weight_decay = 0, double momentum = 0, bool centered = false, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, RMSPropGroup),
                    RMSPropOptions(lr, alpha, eps, weight_decay, momentum, centered, maximize), step_options);

            /// <inheritdoc cref="RMSProp(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.RMSProp RMSProp(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 0.01, double alpha = 0.99,
                double eps = 1e-8, double weight_decay = 0, double momentum = 0, bool centered = false, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, RMSPropGroup),
                    RMSPropOptions(lr, alpha, eps, weight_decay, momentum, centered, maximize), step_options);

            /// <inheritdoc cref="RMSProp(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.RMSProp RMSProp(
                IEnumerable<TorchRMSProp.ParamGroup> parameters, double lr = 0.01, double alpha = 0.99, double eps = 1e-8,
                double weight_decay = 0, double momentum = 0, bool centered = false, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters), RMSPropOptions(lr, alpha, eps, weight_decay, momentum, centered, maximize),
                    step_options);

            private static TorchRMSProp.ParamGroup RMSPropGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchRMSProp.Options RMSPropOptions(
                double lr, double alpha, double eps, double weightDecay, double momentum, bool centered, bool maximize) => new()
                {
                    LearningRate = lr,
                    alpha = alpha,
                    eps = eps,
                    weight_decay = weightDecay,
                    momentum = momentum,
                    centered = centered,
                    maximize = maximize,
                };
        }
    }
}
