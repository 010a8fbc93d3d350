using global::TorchSharp.Modules;
using TorchRprop = global::TorchSharp.Modules.Rprop;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Rprop (Riedmiller &amp; Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP
    /// algorithm"), in place of <c>torch.optim.Rprop</c>. Options, groups and state files are those of TorchSharp's class.
    /// </summary>
    public sealed class Rprop : FusedOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding(
            "rprop",
            typeof(TorchRprop),
            new Dictionary<string, string> { ["step_size_min"] = "min_step", ["step_size_max"] = "max_step" }));

        internal Rprop(ParameterSource parameters, TorchRprop.Options defaults, StepOptions? stepOptions)
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
            /// Rprop in place of <c>torch.optim.Rprop</c>, with the same arguments; see <see cref="Modules.Rprop"/>.
            /// </summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">What the step sizes start at, at least 0.</param>
            /// <param name="etaminus">
            /// What a step size is multiplied with where the gradient's sign changed, in [0, 1).
            /// </param>
            /// <param name="etaplus">
            /// What a step size is multiplied with where the gradient's sign stayed, at least 1.
            /// </param>
            /// <param name="min_step">The smallest step size, at least 0.</param>
            /// <param name="max_step">The largest step size, at least 0.</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.Rprop Rprop(
                IEnumerable<Parameter> parameters, double lr = 1e-2, double etaminus = 0.5, double etaplus = 1.2,
                double min_step = 1e-6, double max_step = 50, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, RpropGroup),
                    RpropOptions(lr, etaminus, etaplus, min_step, max_step, maximize), step_options);

            /// <inheritdoc cref="Rprop(IEnumerable{Parameter}, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Rprop Rprop(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-2, double etaminus = 0.5,
                double etaplus = 1.2, double min_step = 1e-6, double max_step = 50, bool maximize = false,
                StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, RpropGroup),
                    RpropOptions(lr, etaminus, etaplus, min_step, max_step, maximize), step_options);

            /// <inheritdoc cref="Rprop(IEnumerable{Parameter}, double, double, double, double, double, bool, StepOptions)"/>
            public static Modules.Rprop Rprop(
                IEnumerable<TorchRprop.ParamGroup> parameters, double lr = 1e-2, double etaminus = 0.5, double etaplus = 1.2,
                double min_step = 1e-6, double max_step = 50, bool maximize = false, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters), RpropOptions(lr, etaminus, etaplus, min_step, max_step, maximize),
                    step_options);

            private static TorchRprop.ParamGroup RpropGroup(IEnumerable<Parameter> parameters) => new() { Parameters = parameters };

            private static TorchRprop.Options RpropOptions(
                double lr, double etaminus, double etaplus, double minStep, double maxStep, bool maximize) => new()
                {
                    LearningRate = lr,
                    etaminus = etaminus,
                    etaplus = etaplus,
                    min_step = minStep,
                    max_step = maxStep,
                    maximize = maximize,
                };
        }
    }
}
