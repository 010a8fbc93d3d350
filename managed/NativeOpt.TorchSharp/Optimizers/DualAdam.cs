using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// DualAdam (arXiv 2603.07122, "Combining Adam and its inverse counterpart…"): starts as InvAdam and turns into Adam,
    /// θ ← θ − η·(a·m̂·√v̂ + (1 − a)·m̂/(√v̂ + ε)) with a = max(0, 1 − ξt), or as another
    /// <see cref="InverseWeightSchedule"/> has it.
    /// </summary>
    public sealed class DualAdam : RuleOptimizer
    {
        private static readonly Lazy<RuleBinding> Binding = new(static () => new RuleBinding("dualadam"));

        internal DualAdam(ParameterSource parameters, FusedOptions defaults, StepOptions? stepOptions)
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
            /// <summary>Makes an optimizer of the rule <see cref="Modules.DualAdam"/>.</summary>
            /// <param name="parameters">
            /// The parameters: <c>model.parameters()</c>; or <c>model.named_parameters()</c>, so that messages name them; or
            /// parameter groups with what differs from the other arguments.
            /// </param>
            /// <param name="lr">The learning rate, at least 0.</param>
            /// <param name="beta1">The decay rate of the first moment, in [0, 1).</param>
            /// <param name="beta2">The decay rate of the second moment, in [0, 1).</param>
            /// <param name="eps">What is added to the root of the second moment, at least 0.</param>
            /// <param name="weight_decay">The weight decay, at least 0: added to the gradient, unless it is decoupled.</param>
            /// <param name="switching_rate">
            /// ξ of the linear schedule, at least 0: the weight of the inverse part at step t is max(0, 1 − ξt).
            /// </param>
            /// <param name="amsgrad">Whether to use the running maximum of the second moment (Reddi et al. 2018).</param>
            /// <param name="maximize">Whether to ascend.</param>
            /// <param name="decoupled_weight_decay">Whether weight decay shrinks the parameters, as AdamW does.</param>
            /// <param name="inverse_epsilon">
            /// Whether the inverse part multiplies by (√v̂ + ε), as the authors' published code does, and not by √v̂.
            /// </param>
            /// <param name="schedule">How the weight of the inverse part falls from step to step.</param>
            /// <param name="base">What the exponential schedule multiplies the weight with after each epoch, in [0, 1].</param>
            /// <param name="steps_per_epoch">The steps of an epoch of the exponential schedule, at least 1.</param>
            /// <param name="switch_step">The last step of the fixed schedule that is the inverse part's alone, at least 0.</param>
            /// <param name="inverse_weight">The weight of the inverse part with the given schedule, in [0, 1].</param>
            /// <param name="step_options">What steps do beyond TorchSharp's; null: nothing.</param>
            /// <returns>The optimizer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="parameters"/> is null.</exception>
            /// <exception cref="ArgumentException">An option is out of its range, or a parameter cannot be stepped.</exception>
            public static Modules.DualAdam DualAdam(
                IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double switching_rate = 8e-5, bool amsgrad = false,
                bool maximize = false, bool decoupled_weight_decay = false, bool inverse_epsilon = false,
                InverseWeightSchedule schedule = InverseWeightSchedule.Linear, double @base = 0.9,
                long steps_per_epoch = 1, long switch_step = 0, double inverse_weight = 1, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    DualAdamOptions(
                        lr, beta1, beta2, eps, weight_decay, switching_rate, amsgrad, maximize, decoupled_weight_decay,
                        inverse_epsilon, schedule, @base, steps_per_epoch, switch_step, inverse_weight),
                    step_options);

            /// <inheritdoc cref="DualAdam(IEnumerable{Parameter}, double, double, double, double, double, double, bool, bool, bool, bool, InverseWeightSchedule, double, long, long, double, StepOptions)"/>
            public static Modules.DualAdam DualAdam(
                IEnumerable<(string name, Parameter parameter)> parameters, double lr = 1e-3, double beta1 = 0.9,
                double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, double switching_rate = 8e-5,
                bool amsgrad = false, bool maximize = false, bool decoupled_weight_decay = false, bool inverse_epsilon = false,
                InverseWeightSchedule schedule = InverseWeightSchedule.Linear, double @base = 0.9,
                long steps_per_epoch = 1, long switch_step = 0, double inverse_weight = 1, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters, OwnGroup),
                    DualAdamOptions(
                        lr, beta1, beta2, eps, weight_decay, switching_rate, amsgrad, maximize, decoupled_weight_decay,
                        inverse_epsilon, schedule, @base, steps_per_epoch, switch_step, inverse_weight),
                    step_options);

            /// <inheritdoc cref="DualAdam(IEnumerable{Parameter}, double, double, double, double, double, double, bool, bool, bool, bool, InverseWeightSchedule, double, long, long, double, StepOptions)"/>
            public static Modules.DualAdam DualAdam(
                IEnumerable<FusedParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999,
                double eps = 1e-8, double weight_decay = 0, double switching_rate = 8e-5, bool amsgrad = false,
                bool maximize = false, bool decoupled_weight_decay = false, bool inverse_epsilon = false,
                InverseWeightSchedule schedule = InverseWeightSchedule.Linear, double @base = 0.9,
                long steps_per_epoch = 1, long switch_step = 0, double inverse_weight = 1, StepOptions? step_options = null) =>
                new(
                    ParameterSource.Of(parameters),
                    DualAdamOptions(
                        lr, beta1, beta2, eps, weight_decay, switching_rate, amsgrad, maximize, decoupled_weight_decay,
                        inverse_epsilon, schedule, @base, steps_per_epoch, switch_step, inverse_weight),
                    step_options);

            private static FusedOptions DualAdamOptions(
                double lr, double beta1, double beta2, double eps, double weight_decay, double switching_rate, bool amsgrad,
                bool maximize, bool decoupled_weight_decay, bool inverse_epsilon, InverseWeightSchedule schedule, double @base,
                long steps_per_epoch, long switch_step, double inverse_weight) => new()
                {
                    ["lr"] = lr,
                    ["beta1"] = beta1,
                    ["beta2"] = beta2,
                    ["eps"] = eps,
                    ["weight_decay"] = weight_decay,
                    ["switching_rate"] = switching_rate,
                    ["schedule"] = (int)schedule,
                    ["base"] = @base,
                    ["steps_per_epoch"] = steps_per_epoch,
                    ["switch_step"] = switch_step,
                    ["inverse_weight"] = inverse_weight,
                    ["amsgrad"] = amsgrad ? 1 : 0,
                    ["maximize"] = maximize ? 1 : 0,
                    ["decoupled_weight_decay"] = decoupled_weight_decay ? 1 : 0,
                    ["inverse_epsilon"] = inverse_epsilon ? 1 : 0,
                };
        }
    }
}
