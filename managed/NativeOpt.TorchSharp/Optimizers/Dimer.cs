using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp.Modules
{
    /// <summary>
    /// Dimer-enhanced optimization (DEO, arXiv 2507.19968) around one of this library's optimizers: follows a direction N̂ toward
    /// the smallest curvature of the loss and corrects the gradient along it before the rule sees it.
    /// </summary>
    /// <remarks>
    /// <para>
    /// Every parameter needs a gradient in each step. Groups, options and states are the optimizer's, which schedulers may be
    /// given as well. State files hold the optimizer's state; a new direction is drawn after loading, and after a change that
    /// <see cref="FusedOptimizer"/> cannot take over in place, such as another group.
    /// </para>
    /// <para>Disposing of the dimer leaves the optimizer as it is.</para>
    /// </remarks>
    public class Dimer : OptimizerHelper
    {
        private DimerOptions _options;
        private FusedCore? _core;
        private DimerOptimizer? _dimer;
        private bool _isDisposed;

        private Dimer(FusedOptimizer optimizer, DimerOptions? options)
        {
            Optimizer = optimizer;
            _options = options ?? new DimerOptions();
            _defaults = optimizer.Defaults;
            _parameter_groups = optimizer.GroupList;
        }

        /// <summary>Makes the dimer that offers schedulers what the optimizer does.</summary>
        internal static Dimer Make(FusedOptimizer optimizer, DimerOptions? options)
        {
            ArgumentNullException.ThrowIfNull(optimizer);
            return (optimizer is torch.optim.IBetas, optimizer is torch.optim.IMomentum) switch
            {
                (true, true) => new WithBoth(optimizer, options),
                (true, false) => new WithBetas(optimizer, options),
                (false, true) => new WithMomentum(optimizer, options),
                _ => new Dimer(optimizer, options),
            };
        }

        /// <summary>The optimizer whose rule makes the steps.</summary>
        public FusedOptimizer Optimizer { get; }

        /// <summary>The options of the dimer; they may change between steps, except for the scope.</summary>
        /// <exception cref="ArgumentNullException">The value is null.</exception>
        /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
        /// <exception cref="ArgumentException">The scope differs.</exception>
        public DimerOptions Options
        {
            get => _options;
            set
            {
                ArgumentNullException.ThrowIfNull(value);
                if (_dimer is not null)
                {
                    _dimer.Options = value;
                }

                _options = value;
            }
        }

        /// <summary>One step, which evaluates the closure as often as it needs gradients.</summary>
        /// <param name="closure">
        /// Sets the gradients to zero, computes the loss and its gradients at the parameters as they are when it is called, and
        /// returns the loss, of one element. It does not change the parameters.
        /// </param>
        /// <returns>
        /// The loss at the parameters before the step. If it is not finite, no step was taken. If one at displaced parameters is
        /// not, the step is the optimizer's own (<see cref="DimerOptions.Fallback"/>).
        /// </returns>
        /// <exception cref="ArgumentNullException"><paramref name="closure"/> is null: a dimer needs more than one gradient.</exception>
        /// <inheritdoc cref="FusedOptimizer.step" path="/exception"/>
        public override torch.Tensor? step(Func<torch.Tensor>? closure = null)
        {
            ArgumentNullException.ThrowIfNull(closure);
            return Step(
                closure,
                (native, evaluate) =>
                {
                    Optimizer.UseOwnGradientOptions(_core!);
                    native.Step(evaluate);
                });
        }

        /// <summary>Tells what is known of a direction: its curvature, and how far it turned.</summary>
        /// <param name="scope">0, or with <see cref="DimerScope.PerTensor"/> the parameter's index.</param>
        /// <returns>The status; before the first step that of none.</returns>
        /// <exception cref="ArgumentOutOfRangeException">There is no such scope.</exception>
        /// <exception cref="ObjectDisposedException">The dimer is disposed of.</exception>
        public DimerStatus status(int scope = 0)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            return _dimer?.GetStatus(scope) ?? new DimerStatus(0, double.NaN, 0, 0, false, false);
        }

        /// <inheritdoc/>
        public override void zero_grad() => Optimizer.zero_grad();

        /// <inheritdoc cref="FusedOptimizer.add_param_group"/>
        public override void add_param_group(TorchGroup param_group) => Optimizer.add_param_group(param_group);

        /// <inheritdoc cref="FusedOptimizer.state_dict"/>
        public override StateDictionary state_dict() => Optimizer.state_dict();

        /// <inheritdoc cref="FusedOptimizer.load_state_dict(torch.optim.Optimizer.StateDictionary)"/>
        public override void load_state_dict(StateDictionary state_dict) => Optimizer.load_state_dict(state_dict);

        /// <summary>Writes the optimizer's state to a file: the same as the optimizer itself writes.</summary>
        /// <param name="location">The file's path.</param>
        public new void save_state_dict(string location) => Optimizer.save_state_dict(location);

        /// <summary>Writes the optimizer's state: the same as the optimizer itself writes.</summary>
        /// <param name="writer">Where to.</param>
        public new void save_state_dict(BinaryWriter writer) => Optimizer.save_state_dict(writer);

        /// <summary>Reads a file of the optimizer's, which one without a dimer may have written.</summary>
        /// <param name="location">The file's path.</param>
        /// <exception cref="InvalidDataException">The file is that of another class of optimizer.</exception>
        public new void load_state_dict(string location) => Optimizer.load_state_dict(location);

        /// <summary>Reads a state of the optimizer's, which one without a dimer may have written.</summary>
        /// <param name="reader">Where from.</param>
        /// <exception cref="InvalidDataException">The state is that of another class of optimizer.</exception>
        public new void load_state_dict(BinaryReader reader) => Optimizer.load_state_dict(reader);

        /// <summary>Moves the optimizer's states to a device.</summary>
        /// <param name="device">The device.</param>
        public new void to(torch.Device device) => Optimizer.to(device);

        /// <summary>A step in which every evaluation of the closure is followed by taking the gradients it made.</summary>
        internal torch.Tensor? Step(Func<torch.Tensor> closure, Action<DimerOptimizer, Func<float>> take)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            torch.Tensor? first = null, notFinite = null;
            FusedCore core = Optimizer.PrepareCore();
            DimerOptimizer dimer = Around(core);
            long before = dimer.StepCount;
            take(dimer, Evaluate);
            if (dimer.StepCount > before)
            {
                Optimizer.FinishStep(core);
                notFinite?.Dispose();
                return first;
            }

            if (notFinite is null)
            {
                return first; // no step for another reason
            }

            first?.Dispose();
            return notFinite;

            float Evaluate()
            {
                torch.Tensor loss;
                using (torch.enable_grad())
                {
                    loss = closure();
                }

                Optimizer.CollectAllGradients();
                float value = loss.to(torch.ScalarType.Float32).item<float>();
                if (!float.IsFinite(value))
                {
                    notFinite = loss; // the last evaluation of the step
                }
                else if (first is null)
                {
                    first = loss;
                }
                else
                {
                    loss.Dispose();
                }

                return value;
            }
        }

        /// <inheritdoc/>
        protected override void Dispose(bool disposing)
        {
            base.Dispose(disposing);
            if (disposing)
            {
                _isDisposed = true;
                _dimer?.Dispose();
                _dimer = null;
            }
        }

        /// <summary>The library's dimer, made anew around another core.</summary>
        private DimerOptimizer Around(FusedCore core)
        {
            if (_dimer is null || _core != core)
            {
                _dimer?.Dispose();
                _dimer = null;
                _dimer = new DimerOptimizer(core.Optimizer, _options);
                _core = core;
            }

            return _dimer;
        }

        // A scheduler asks the optimizer whether it has betas or a momentum, and takes that for what its groups have.
        private sealed class WithBetas(FusedOptimizer optimizer, DimerOptions? options)
            : Dimer(optimizer, options), torch.optim.IBetas
        {
            (double, double) torch.optim.IBetas.Betas
            {
                get => ((torch.optim.IBetas)Optimizer).Betas;
                set => ((torch.optim.IBetas)Optimizer).Betas = value;
            }
        }

        private sealed class WithMomentum(FusedOptimizer optimizer, DimerOptions? options)
            : Dimer(optimizer, options), torch.optim.IMomentum
        {
            double torch.optim.IMomentum.Momentum
            {
                get => ((torch.optim.IMomentum)Optimizer).Momentum;
                set => ((torch.optim.IMomentum)Optimizer).Momentum = value;
            }
        }

        private sealed class WithBoth(FusedOptimizer optimizer, DimerOptions? options)
            : Dimer(optimizer, options), torch.optim.IBetas, torch.optim.IMomentum
        {
            (double, double) torch.optim.IBetas.Betas
            {
                get => ((torch.optim.IBetas)Optimizer).Betas;
                set => ((torch.optim.IBetas)Optimizer).Betas = value;
            }

            double torch.optim.IMomentum.Momentum
            {
                get => ((torch.optim.IMomentum)Optimizer).Momentum;
                set => ((torch.optim.IMomentum)Optimizer).Momentum = value;
            }
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
            /// Makes a dimer around an optimizer: <c>nativeopt.optim.Dimer(nativeopt.optim.AdamW(model.parameters()))</c>.
            /// </summary>
            /// <param name="optimizer">The optimizer; it steps through the dimer from now on.</param>
            /// <param name="options">The dimer's options; null: the paper's. See <see cref="DimerOptions.Recommended"/>.</param>
            /// <returns>The dimer.</returns>
            /// <exception cref="ArgumentNullException"><paramref name="optimizer"/> is null.</exception>
            public static Modules.Dimer Dimer(Modules.FusedOptimizer optimizer, DimerOptions? options = null) =>
                Modules.Dimer.Make(optimizer, options);
        }
    }
}
