using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>An optimizer of any rule of the library, with options by the names that the rule describes.</summary>
    public class RuleOptimizer : FusedOptimizer, torch.optim.IBetas, torch.optim.IMomentum
    {
        internal RuleOptimizer(RuleBinding binding, ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
            : base(binding, parameters, Bound(binding, defaults), stepOptions)
        {
        }

        internal RuleOptimizer(string rule, ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
            : this(new RuleBinding(rule), parameters, defaults, stepOptions)
        {
        }

        /// <summary>The first two decay rates that groups added later have where they set none.</summary>
        public (double, double) Betas
        {
            get => Group.Betas;
            set => Group.Betas = value;
        }

        /// <summary>The momentum, or beta1, that groups added later have where they set none.</summary>
        public double Momentum
        {
            get => Group.Momentum;
            set => Group.Momentum = value;
        }

        private FusedParamGroup Group => new([], (FusedOptions)Defaults);

        private static FusedOptions Bound(RuleBinding binding, FusedOptions defaults)
        {
            defaults.Bind(binding.Rule, null);
            return defaults;
        }
    }
}

namespace NativeOpt.TorchSharp
{
    public static partial class nativeopt
    {
        public static partial class optim
        {
            /// <summary>An optimizer of a rule by its name, for example "adan".</summary>
            /// <param name="rule">The name; see <see cref="Rule.All"/>.</param>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="options">Hyperparameters and flags by name; null: the rule's defaults.</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="rule"/> or <paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">
            /// There is no such rule or option, an option is out of its range, or a parameter cannot be stepped. Or it is "swats", whose
            /// steps need more than gradients (<see cref="Swats"/>).
            /// </exception>
            public static Modules.RuleOptimizer Rule(
                string rule, IEnumerable<Parameter> parameters, FusedOptions? options = null, StepOptions? step_options = null) =>
                new(RequireOneStep(rule), ParameterSource.Of(parameters, OwnGroup), options ?? new FusedOptions(), step_options);

            /// <inheritdoc cref="Rule(string, IEnumerable{Parameter}, FusedOptions, StepOptions)"/>
            public static Modules.RuleOptimizer Rule(
                string rule, IEnumerable<(string name, Parameter parameter)> parameters, FusedOptions? options = null,
                StepOptions? step_options = null) =>
                new(RequireOneStep(rule), ParameterSource.Of(parameters, OwnGroup), options ?? new FusedOptions(), step_options);

            /// <inheritdoc cref="Rule(string, IEnumerable{Parameter}, FusedOptions, StepOptions)"/>
            public static Modules.RuleOptimizer Rule(
                string rule, IEnumerable<FusedParamGroup> parameters, FusedOptions? options = null, StepOptions? step_options = null) =>
                new(RequireOneStep(rule), ParameterSource.Of(parameters), options ?? new FusedOptions(), step_options);

            private static string RequireOneStep(string rule) => rule != "swats"
                ? rule
                : throw new ArgumentException(
                    "The rule \"swats\" would never switch to SGD here: NativeOpt.Swats computes the sums that it needs, from C#.",
                    nameof(rule));

            private static FusedParamGroup OwnGroup(IEnumerable<Parameter> parameters) => new(parameters);
        }
    }
}
