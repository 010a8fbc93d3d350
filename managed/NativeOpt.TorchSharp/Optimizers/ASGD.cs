using global::TorchSharp.Modules;
using TorchASGD = global::TorchSharp.Modules.ASGD;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Averaged stochastic gradient descent (Polyak &amp; Juditsky 1992, "Acceleration of stochastic approximation by
    /// averaging"), with L2 weight decay, in place of <c>torch.optim.ASGD</c>. Options, groups and state files are those of
    /// TorchSharp's class.
    /// </summary>
    /// <remarks>
    /// The rate eta of a step and the weight mu of its average follow from the step's number and the present options.
    /// TorchSharp's class computes both at the end of the step before. So a scheduler's rate counts at once here, and one
    /// step later there. <c>state_dict</c> writes eta and mu of the next step for TorchSharp; those that are loaded are not
    /// read.
    /// </remarks>
    public sealed class ASGD : FusedOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("asgd", typeof(TorchASGD)));

        internal ASGD(ParameterSource parameters, TorchASGD.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        private protected override void CompleteForTorch(ParameterState state, TorchOptions options)
        {
            TorchASGD.State own = (TorchASGD.State)state;
            TorchASGD.Options chosen = (TorchASGD.Options)options;
            double rate = chosen.LearningRate!.Value;
            own.eta = rate / Math.Pow(1 + (chosen.lambd!.Value * rate * own.step), chosen.alpha!.Value);
            own.mu = 1 / Math.Max(1, own.step - chosen.t0!.Value);
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
            /// ASGD in place of <c>torch.optim.ASGD</c>, with the same arguments; see <see cref="Modules.ASGD"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="lambd">How fast the parameters decay, and with them the learning rate, at least 0.</param>
            /// <param name="alpha">The power by which the learning rate falls, at least 0.</param>
            /// <param name="t0">The step after which averaging starts, at least 0.</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.ASGD ASGD(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double lambd = 1e-4, double alpha = 0.75, double t0 = 1e6,
                double weight_decay = 0, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, ASGDGroup), ASGDOptions(lr, lambd, alpha, t0, weight_decay, maximize),
                    step_options);

            /// <inheritdoc cref="ASGD(IEnumerable{Parameter}, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.ASGD ASGD(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double lambd = 1e-4,
                double alpha = 0.75, double t0 = 1e6, double weight_decay = 0, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, ASGDGroup), ASGDOptions(lr, lambd, alpha, t0, weight_decay, maximize),
                    step_options);

            /// <inheritdoc cref="ASGD(IEnumerable{Parameter}, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.ASGD ASGD(
                IEnumerable<ParamGroup<TorchASGD.Options>> parameters, double lr = 1e-3, double lambd = 1e-4,
                double alpha = 0.75, double t0 = 1e6, double weight_decay = 0, bool maximize = false,
                StepOptions? step_options = null) =>
                new(ParameterSource.Of(parameters), ASGDOptions(lr, lambd, alpha, t0, weight_decay, maximize), step_options);

            private static ParamGroup<TorchASGD.Options> ASGDGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchASGD.Options ASGDOptions(
                double lr, double lambd, double alpha, double t0, double weightDecay, bool maximize) => new()
                {
                    LearningRate = lr,
                    lambd = lambd,
                    alpha = alpha,
                    t0 = t0,
                    weight_decay = weightDecay,
                    maximize = maximize,
                };
        }
    }
}
