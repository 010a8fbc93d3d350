using global::TorchSharp;
using global::TorchSharp.Modules;
using TorchSGD = global::TorchSharp.Modules.SGD;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Stochastic gradient descent with momentum (Sutskever et al. 2013, "On the importance of initialization and momentum in
    /// deep learning"), in place of <c>torch.optim.SGD</c>. Options, groups and state files are those of TorchSharp's class.
    /// </summary>
    /// <remarks>
    /// With maximize the sign of the gradient is flipped before weight decay is added, as PyTorch does; in
    /// TorchSharp's class weight decay lets the parameters grow then, and its momentum has the other sign. State files have
    /// TorchSharp's sign, and states are turned as they are written and read; <c>state_dict</c>, which returns the states
    /// themselves, refuses then.
    /// </remarks>
    public sealed class SGD : FusedOptimizer, torch.optim.IMomentum
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("sgd", typeof(TorchSGD)));

        internal SGD(ParameterSource parameters, TorchSGD.Options defaults, StepOptions? stepOptions)
            : base(Binding.Value, parameters, defaults, stepOptions)
        {
        }

        /// <summary>The momentum that groups added later have where they set none, as TorchSharp has it.</summary>
        public double Momentum
        {
            get => Options.momentum!.Value;
            set => Options.momentum = value;
        }

        private TorchSGD.Options Options => (TorchSGD.Options)Defaults;

        private protected override bool HasOtherSignInTorch(TorchOptions options) => ((TorchSGD.Options)options).maximize == true;
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>SGD in place of <c>torch.optim.SGD</c>, with the same arguments; see <see cref="Modules.SGD"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="learningRate">The learning rate, at least 0.</param>
            /// <param name="momentum">The decay rate of the momentum, at least 0; 0: none.</param>
            /// <param name="dampening">The part of a gradient that is kept out of the momentum after the first step, in [0, 1].</param>
            /// <param name="weight_decay">The L2 weight decay, at least 0.</param>
            /// <param name="nesterov">Whether momentum is Nesterov's, which needs one above 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.SGD SGD(
                IEnumerable<Parameter> parameters, double learningRate, double momentum = 0, double dampening = 0,
                double weight_decay = 0, bool nesterov = false, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, SGDGroup),
                    SGDOptions(learningRate, momentum, dampening, weight_decay, nesterov, maximize), step_options);

            /// <inheritdoc cref="SGD(IEnumerable{Parameter}, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.SGD SGD(
                IEnumerable<(string name, Parameter parameter)> parameters, double learningRate, double momentum = 0,
                double dampening = 0, double weight_decay = 0, bool nesterov = false, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, SGDGroup),
                    SGDOptions(learningRate, momentum, dampening, weight_decay, nesterov, maximize), step_options);

            /// <inheritdoc cref="SGD(IEnumerable{Parameter}, double, double, double, double, bool, bool, StepOptions)"/>
            public static Modules.SGD SGD(
                IEnumerable<TorchSGD.ParamGroup> parameters, double learningRate, double momentum = 0.0, double dampening = 0,
                double weight_decay = 0, bool nesterov = false, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    SGDOptions(learningRate, momentum, dampening, weight_decay, nesterov, maximize), step_options);

            private static TorchSGD.ParamGroup SGDGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchSGD.Options SGDOptions(
                double lr, double momentum, double dampening, double weightDecay, bool nesterov, bool maximize) => new()
                {
                    LearningRate = lr,
                    momentum = momentum,
                    dampening = dampening,
                    weight_decay = weightDecay,
                    nesterov = nesterov,
                    maximize = maximize,
                };
        }
    }
}
