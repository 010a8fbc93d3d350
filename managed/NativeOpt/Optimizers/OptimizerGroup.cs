using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// A group of tensors of an optimizer (<see cref="TensorOptions.Group"/>) and what it has of its own: hyperparameters that may
/// change between steps, a step count and the products of the betas.
/// </summary>
public unsafe class OptimizerGroup
{
    private protected readonly Optimizer _optimizer;
    private nopt_hyperparams _hyperparameters;

    internal OptimizerGroup(Optimizer optimizer, int index, nopt_hyperparams hyperparameters)
    {
        _optimizer = optimizer;
        Index = index;
        _hyperparameters = hyperparameters;
    }

    /// <summary>Its place among <see cref="Optimizer.Groups"/>, which is the <see cref="TensorOptions.Group"/> of its tensors.</summary>
    public int Index { get; }

    /// <summary>The learning rate, finite and >= 0; may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="InvalidOperationException">
    /// The optimizer is capturable: <see cref="SetLearningRate"/> also tells the device.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double LearningRate
    {
        get => _hyperparameters.lr;
        set
        {
            if (_optimizer.IsCapturable)
            {
                throw new InvalidOperationException(
                    "The optimizer is capturable, its learning rate on the device; call SetLearningRate(value, stream).");
            }

            Hyperparameters = _hyperparameters with { lr = value };
        }
    }

    /// <summary>The weight decay of tensors that have none of their own, finite and >= 0; may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double WeightDecay
    {
        get => _hyperparameters.weight_decay;
        set => Hyperparameters = _hyperparameters with { weight_decay = value };
    }

    /// <summary>Steps taken, t; 0 before the first. To be set only to resume.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public long StepCount
    {
        get => StepState.step;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            StepState = StepState with { step = value };
        }
    }

    /// <summary>
    /// The product of beta1 over all steps taken, in [0, 1], for bias correction; 1 before the first step and for rules
    /// without betas. To be set only to resume.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1Product
    {
        get => StepState.beta1_product;
        set
        {
            Check.Product(value, nameof(Beta1Product), nameof(value));
            StepState = StepState with { beta1_product = value };
        }
    }

    /// <summary>The product of beta2 over all steps taken; see <see cref="Beta1Product"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2Product
    {
        get => StepState.beta2_product;
        set
        {
            Check.Product(value, nameof(Beta2Product), nameof(value));
            StepState = StepState with { beta2_product = value };
        }
    }

    /// <summary>What the group's next step uses; checked when set.</summary>
    internal nopt_hyperparams Hyperparameters
    {
        get => _hyperparameters;
        set
        {
            _optimizer.ThrowIfDisposed();
            Validate(value, "", nameof(value));

            // Only these two can need another state buffer (SGD's, once there is momentum): a new learning rate leaves
            // the next step as short as the last.
            if (value.momentum != _hyperparameters.momentum || value.flags != _hyperparameters.flags)
            {
                _optimizer.ForgetThatStateIsReady();
            }

            _hyperparameters = value;
            _optimizer.WriteStepHyperparameters(Index, value);
        }
    }

    internal nopt_step_state StepState
    {
        get
        {
            _optimizer.ThrowIfDisposed();
            nopt_step_state state = new() { struct_size = (uint)sizeof(nopt_step_state) };
            using HandleLease lease = new(_optimizer.Handle, _optimizer);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_get_group_state((nopt_optimizer*)lease.Pointer, Index, &state));
            return state;
        }

        set
        {
            _optimizer.ThrowIfDisposed();
            using HandleLease lease = new(_optimizer.Handle, _optimizer);
            NativeError.ThrowIfFailed(
                NativeMethods.nopt_optimizer_set_group_state((nopt_optimizer*)lease.Pointer, Index, &value));
        }
    }

    /// <summary>
    /// Sets <see cref="LearningRate"/>; where the optimizer is capturable, also on the device, for the steps and replays that
    /// the stream is given from now on.
    /// </summary>
    /// <param name="learningRate">Finite and >= 0.</param>
    /// <param name="stream">The stream of the steps.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="learningRate"/> is out of range.</exception>
    /// <exception cref="ArgumentException">The set is on CPU, and the stream is not the default one.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer, its set or the stream is disposed of.</exception>
    /// <exception cref="NativeOptException">The device reported a fault.</exception>
    public void SetLearningRate(double learningRate, DeviceStream stream = default)
    {
        _optimizer.ThrowIfDisposed();
        nopt_hyperparams changed = _hyperparameters with { lr = learningRate };
        Validate(changed, "", nameof(learningRate));
        if (_optimizer.IsCapturable)
        {
            SendLearningRate(learningRate, stream);
        }

        _hyperparameters = changed;
        _optimizer.WriteStepHyperparameters(Index, changed);
    }

    /// <summary>Tells the device the learning rate of a capturable optimizer.</summary>
    internal void SendLearningRate(double learningRate, DeviceStream stream)
    {
        using HandleLease lease = new(_optimizer.Handle, _optimizer);
        NativeError.ThrowIfFailed(
            NativeMethods.nopt_optimizer_set_group_lr(
                (nopt_optimizer*)lease.Pointer, Index, learningRate, (void*)stream.Pointer));
        stream.KeepAlive();
    }

    /// <summary>Throws unless a step could take these.</summary>
    /// <param name="hyperparameters">What to check.</param>
    /// <param name="where">What the message says before the name of an option.</param>
    /// <param name="paramName">The argument that they come from.</param>
    internal static void Validate(in nopt_hyperparams hyperparameters, string where, string paramName)
    {
        Check.AtLeastZero(hyperparameters.lr, where + nameof(OptimizerOptions.LearningRate), paramName);
        Check.AtLeastZero(hyperparameters.weight_decay, where + nameof(OptimizerOptions.WeightDecay), paramName);
        Check.Beta(hyperparameters.beta1, where + nameof(AdamFamilyOptions.Beta1), paramName);
        Check.Beta(hyperparameters.beta2, where + nameof(AdamFamilyOptions.Beta2), paramName);
        Check.AtLeastZero(hyperparameters.eps, where + nameof(AdamFamilyOptions.Epsilon), paramName);
        Check.AtLeastZero(hyperparameters.switching_rate, where + nameof(DualAdamOptions.SwitchingRate), paramName);
        Check.AtLeastZero(hyperparameters.momentum, where + nameof(SgdOptions.Momentum), paramName);
        if ((hyperparameters.flags & (uint)nopt_flag.NOPT_FLAG_NESTEROV) != 0 && hyperparameters.momentum == 0)
        {
            throw new ArgumentException($"{where}Nesterov needs a Momentum above 0.", paramName);
        }
    }
}

/// <summary>A group of <see cref="Adam"/>, <see cref="AdamW"/> or <see cref="InvAdam"/>.</summary>
public class AdamFamilyGroup : OptimizerGroup
{
    internal AdamFamilyGroup(Optimizer optimizer, int index, nopt_hyperparams hyperparameters)
        : base(optimizer, index, hyperparameters)
    {
    }

    /// <summary>Decay of the first moment, in [0, 1); may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta1
    {
        get => Hyperparameters.beta1;
        set => Hyperparameters = Hyperparameters with { beta1 = value };
    }

    /// <summary>Decay of the second moment, in [0, 1); may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Beta2
    {
        get => Hyperparameters.beta2;
        set => Hyperparameters = Hyperparameters with { beta2 = value };
    }

    /// <summary>Added to the root of the second moment, finite and >= 0; may change between steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Epsilon
    {
        get => Hyperparameters.eps;
        set => Hyperparameters = Hyperparameters with { eps = value };
    }
}

/// <summary>A group of <see cref="DualAdam"/>.</summary>
public sealed class DualAdamGroup : AdamFamilyGroup
{
    internal DualAdamGroup(Optimizer optimizer, int index, nopt_hyperparams hyperparameters)
        : base(optimizer, index, hyperparameters)
    {
    }

    /// <summary>
    /// ξ, finite and >= 0: the weight of the inverse part at the group's step t is max(0, 1 − ξt). May change between steps.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double SwitchingRate
    {
        get => Hyperparameters.switching_rate;
        set => Hyperparameters = Hyperparameters with { switching_rate = value };
    }
}

/// <summary>A group of <see cref="Sgd"/>.</summary>
public sealed class SgdGroup : OptimizerGroup
{
    internal SgdGroup(Optimizer optimizer, int index, nopt_hyperparams hyperparameters)
        : base(optimizer, index, hyperparameters)
    {
    }

    /// <summary>
    /// Decay of the momentum buffer, finite and >= 0; may change between steps. From 0 to more, the buffer starts at zero;
    /// an optimizer of several groups cannot change between the two.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    /// <exception cref="ArgumentException">
    /// The value is 0, and <see cref="SgdOptions.Nesterov"/> needs more; or it is 0 and those of other groups are not, or the
    /// other way round.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public double Momentum
    {
        get => Hyperparameters.momentum;
        set
        {
            Check.AtLeastZero(value, nameof(Momentum), nameof(value));
            if (_optimizer.GroupCount > 1 && (value == 0) != (Momentum == 0))
            {
                throw new ArgumentException(
                    FormattableString.Invariant(
                        $"Momentum of group {Index} cannot go from {Momentum} to {value}: either all groups have momentum or ")
                    + "none has. Make an optimizer of its own for the group's tensors.",
                    nameof(value));
            }

            Hyperparameters = Hyperparameters with { momentum = value };
        }
    }
}
