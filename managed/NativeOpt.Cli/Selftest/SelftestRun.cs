using System.Runtime.InteropServices;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>What a case came to.</summary>
internal sealed record SelftestResult(SelftestCase Case, Comparison Comparison)
{
    public bool Passed => Comparison is { Different: 0, DamagedCanaries: 0 };
}

/// <summary>
/// Runs a case: a model in each setting, the reference first, and after every call a comparison of all that they hold.
/// </summary>
internal sealed class SelftestRun : IDisposable
{
    private const string Remainders = "param_remainder";

    private readonly SelftestCase _case;
    private readonly SelftestBuffers _buffers;
    private readonly List<SelftestModel> _models = [];
    private readonly Comparison _comparison = new();
    private readonly CancellationToken _stop;
    private int _step;

    private SelftestRun(SelftestPlan plan, SelftestCase one, CancellationToken stop)
    {
        (_case, _stop) = (one, stop);
        _buffers = new SelftestBuffers(one, plan.RandomOf(one.Number));
        try
        {
            foreach (SelftestSetting setting in plan.Settings)
            {
                stop.ThrowIfCancellationRequested();
                setting.Select();
                _models.Add(plan.CreateModel(setting, one, _buffers));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Runs a case.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    /// <exception cref="SelftestFault">The library or the device refused a call.</exception>
    public static SelftestResult Run(SelftestPlan plan, SelftestCase one, CancellationToken stop)
    {
        using var run = new SelftestRun(plan, one, stop);
        if (one.Dimer is null)
        {
            run.RunRule();
        }
        else
        {
            run.RunDimer(one.Dimer);
        }

        return new SelftestResult(one, run._comparison);
    }

    public void Dispose()
    {
        foreach (SelftestModel model in _models)
        {
            model.Dispose();
        }
    }

    private void RunRule()
    {
        for (_step = 1; _step <= _case.Steps; _step++)
        {
            SetGradient(nopt_role.NOPT_ROLE_GRAD, Place);
            SetInputs();
            nopt_hyperparams hyperparameters = Hyperparameters();
            OnEach("nopt_optimizer_step", model => model.Step(hyperparameters, null));
        }
    }

    private void RunDimer(DimerSetting dimer)
    {
        OnEach("nopt_dimer_init_direction", model => model.InitDirection((ulong)_case.Number));
        OnEach("nopt_dimer_normalize_direction", static model => model.NormalizeDirection());
        for (_step = 1; _step <= _case.Steps; _step++)
        {
            nopt_hyperparams hyperparameters = Hyperparameters();
            nopt_dimer_options options = dimer.OptionsAt(_step - 1);

            // Updates with copied gradients and with gradients that are kept, of one rotation and of several; the third step
            // uses the direction as it is, with the sums apart; the fourth gives its update up.
            bool isUpdate = _step != 3;
            bool copies = _step != 2;
            int furtherRotations = _step is 2 or 5 ? 1 : 0;
            bool isGivenUp = _step == 4;
            OnEach(model => model.SetCopiesGradient(copies));
            SetGradient(nopt_role.NOPT_ROLE_GRAD, Place);
            SetInputs();
            if (isUpdate)
            {
                nopt_role displaced = copies ? nopt_role.NOPT_ROLE_GRAD : nopt_role.NOPT_ROLE_GRAD_DISPLACED;
                OnEach("nopt_dimer_displace", model => model.Displace(options));
                SetGradient(displaced, 1 - Place);
                for (int i = dimer.HasPlane ? 0 : 1; i <= furtherRotations; i++)
                {
                    OnEach("nopt_dimer_rotate", model => model.Rotate(options, hyperparameters));
                    SetGradient(displaced, 1 - Place);
                }
            }
            else
            {
                OnEach("nopt_dimer_sum", static model => model.Sum());
            }

            if (isGivenUp)
            {
                OnEach("nopt_dimer_restore", static model => model.Restore());
            }

            OnEach("nopt_dimer_step", model => model.Step(hyperparameters, options));
        }
    }

    private int Place => _step % 2;

    private nopt_hyperparams Hyperparameters()
    {
        nopt_hyperparams hyperparameters = _case.Hyperparameters;
        hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR] /= _step;
        return hyperparameters;
    }

    private void SetGradient(nopt_role role, int place)
    {
        byte[] image = _buffers.DrawGradient(place, HasStrange);
        OnEach(model => model.SetGradient(role, place, image, HasGradient));
    }

    // Steps in turn have inputs for all tensors, for every other tensor, and none at all.
    private void SetInputs()
    {
        for (int input = 0; input < _buffers.Inputs.Length; input++)
        {
            int own = input;
            if (_step % 3 == 0)
            {
                OnEach(model => model.ClearInput(own));
            }
            else
            {
                bool hasAll = _step % 3 == 1;
                byte[] image = _buffers.DrawInput(own, HasStrange);
                OnEach(model => model.SetInput(own, image, tensor => hasAll || tensor % 2 == 0));
            }
        }
    }

    private bool HasStrange => _case.Arrangement.HasStrange && _step == 2;

    private bool HasGradient(int tensor) => _case.HasGradient(tensor, _step);

    private void OnEach(Action<SelftestModel> act)
    {
        foreach (SelftestModel model in _models)
        {
            _stop.ThrowIfCancellationRequested();
            model.Setting.Select();
            act(model);
        }
    }

    private void OnEach(string call, Action<SelftestModel> act)
    {
        OnEach(act);
        SelftestModel reference = _models[0];
        GuardedBlock[] expected = [.. reference.Blocks];
        At(reference);

        // Gradients and inputs are only read, so it is known what must be there.
        byte[][] known = [.. _buffers.Gradients.Concat(_buffers.Inputs).Select(static buffer => buffer.Image)];
        for (int i = 0; i < expected.Length; i++)
        {
            if (i < known.Length)
            {
                _comparison.Block(expected[i].Name, expected[i].Layout, known[i], expected[i].Read());
            }
            else
            {
                _comparison.Canaries(expected[i].Name, expected[i].Layout, expected[i].Read());
            }
        }

        RequireFrozen(reference);

        foreach (SelftestModel model in _models.Skip(1))
        {
            _stop.ThrowIfCancellationRequested();
            At(model);
            int i = 0;
            foreach (GuardedBlock actual in model.Blocks)
            {
                GuardedBlock same = expected[i++];
                if (actual.Name == Remainders)
                {
                    _comparison.Block(actual.Name, actual.Layout, ReadRemainders(reference, same), ReadRemainders(model, actual));
                }
                else
                {
                    _comparison.Block(actual.Name, actual.Layout, same.Read(), actual.Read());
                }
            }

            CompareScalars(reference, model);
        }

        void At(SelftestModel model) => _comparison.Place = (model.Setting.Name, _step, call);
    }

    // What had no gradient yet was only read, so it is known what must be there, whoever computed it; and so is how many
    // steps each tensor has taken, unless steps are skipped. (A tensor of no elements always steps.)
    private void RequireFrozen(SelftestModel model)
    {
        if (_case.Gradients is not { HasFrozen: true } gradients)
        {
            return;
        }

        GuardedBlock parameters = ParametersOf(model);
        ReadOnlySpan<byte> actual = parameters.Read();
        nopt_step_state[] states = model.TensorStates;
        for (int tensor = 0; tensor < parameters.Layout.TensorCount; tensor++)
        {
            int steps = Enumerable.Range(1, _step).Count(step => _case.HasGradient(tensor, step));
            if (steps == 0)
            {
                _comparison.Tensor(parameters.Name, parameters.Layout, tensor, _buffers.Parameters.Image, actual);
            }

            if (_case.Counts[tensor] > 0 && (steps == 0 || !gradients.Skips))
            {
                _comparison.Scalar($"step count of tensor {tensor}", null, steps, states[tensor].step);
            }
        }
    }

    /// <summary>
    /// The remainders, with 0 beside every parameter that is NaN: they are bits of its payload, of which nothing is promised.
    /// </summary>
    private static byte[] ReadRemainders(SelftestModel model, GuardedBlock remainders)
    {
        byte[] image = remainders.Read().ToArray();
        GuardedBlock parameters = ParametersOf(model);
        ReadOnlySpan<byte> all = parameters.Read();
        for (int tensor = 0; tensor < remainders.Layout.TensorCount; tensor++)
        {
            Span<ushort> own = MemoryMarshal.Cast<byte, ushort>(remainders.Layout.Tensor(image.AsSpan(), tensor));
            ReadOnlySpan<byte> parameter = parameters.Layout.Tensor(all, tensor);
            for (int i = 0; i < own.Length; i++)
            {
                uint bits = (uint)MemoryMarshal.Cast<byte, ushort>(parameter)[i] << 16;
                own[i] = float.IsNaN(BitConverter.UInt32BitsToSingle(bits)) ? (ushort)0 : own[i];
            }
        }

        return image;
    }

    private static GuardedBlock ParametersOf(SelftestModel model) => model.Blocks.Single(static block => block.Name == "param");

    private void CompareScalars(SelftestModel expected, SelftestModel actual)
    {
        foreach (((string name, double e), (string _, double a)) in expected.StepState.Zip(actual.StepState))
        {
            _comparison.Scalar(name, null, e, a);
        }

        CompareTensorStates(expected.TensorStates, actual.TensorStates);
        for (int scope = 0; scope < expected.ScopeCount; scope++)
        {
            nopt_dimer_status e = expected.StatusOf(scope);
            nopt_dimer_status a = actual.StatusOf(scope);
            _comparison.Scalar("status.flags", scope, e.flags, a.flags);
            _comparison.Scalar("status.step", scope, e.step, a.step);
            _comparison.Scalar("status.curvature", scope, e.curvature, a.curvature);
            _comparison.Scalar("status.grad_dot_direction", scope, e.grad_dot_direction, a.grad_dot_direction);
            _comparison.Scalar("status.angle", scope, e.angle, a.angle);
        }
    }

    private void CompareTensorStates(nopt_step_state[] expected, nopt_step_state[] actual)
    {
        for (int tensor = 0; tensor < expected.Length; tensor++)
        {
            // Texts are made only where something differs: there may be many tensors.
            if (expected[tensor].step != actual[tensor].step)
            {
                _comparison.Scalar($"step count of tensor {tensor}", null, expected[tensor].step, actual[tensor].step);
            }

            foreach (RunningScalar scalar in _case.Options.Rule.RunningScalars)
            {
                (double e, double a) = (expected[tensor].running[scalar.Index], actual[tensor].running[scalar.Index]);
                if (BitConverter.DoubleToInt64Bits(e) != BitConverter.DoubleToInt64Bits(a))
                {
                    _comparison.Scalar($"{scalar.Name} of tensor {tensor}", null, e, a);
                }
            }
        }
    }
}
