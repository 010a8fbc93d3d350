using global::TorchSharp.Modules;
using TorchAdadelta = global::TorchSharp.Modules.Adadelta;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Adadelta (Zeiler 2012, arXiv 1212.5701, "ADADELTA: an adaptive learning rate method", algorithm 1), with L2 weight
    /// decay, in place of <c>torch.optim.Adadelta</c>. Options, groups and state files are those of TorchSharp's class.
    /// </summary>
    /// <remarks>
    /// TorchSharp's class leaves the step count in its states at 0; here it counts. The steps do not depend on it.
    /// </remarks>
    public sealed class Adadelta : FusedOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding =
            new(static () => new RuleBinding("adadelta", typeof(TorchAdadelta)));

        internal Adadelta(ParameterSource parameters, TorchAdadelta.Options defaults, StepOptions? stepOptions)
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
            /// <summary>
            /// Adadelta in place of <c>torch.optim.Adadelta</c>, with the same arguments; see <see
            /// cref="Modules.Adadelta"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="rho">The decay rate of both running averages, in [0, 1).</param>
            /// <param name="eps">What is added to both averages under their roots, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Adadelta Adadelta(
                IEnumerable<Parameter> parameters, double lr = 1.0, double rho = 0.9, double eps = 1e-6,
                double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdadeltaGroup), AdadeltaOptions(lr, rho, eps, weight_decay, maximize),
                    step_options);

            /// <inheritdoc cref="Adadelta(IEnumerable{Parameter}, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Adadelta Adadelta(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1.0, double rho = 0.9,
                double eps = 1e-6, double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, AdadeltaGroup), AdadeltaOptions(lr, rho, eps, weight_decay, maximize),
                    step_options);

            /// <inheritdoc cref="Adadelta(IEnumerable{Parameter}, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Adadelta Adadelta(
                IEnumerable<TorchAdadelta.ParamGroup> parameters, double lr = 1.0, double rho = 0.9, double eps = 1e-6,
                double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(ParameterSource.Of(parameters), AdadeltaOptions(lr, rho, eps, weight_decay, maximize), step_options);

            private static TorchAdadelta.ParamGroup AdadeltaGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchAdadelta.Options AdadeltaOptions(
                double lr, double rho, double eps, double weightDecay, bool maximize) => new()
                {
                    LearningRate = lr,
                    rho = rho,
                    eps = eps,
                    weight_decay = weightDecay,
                    maximize = maximize,
                };
        }
    }
}
