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
            if (isUpdate)
            {
                nopt_role displaced = copies ? nopt_role.NOPT_ROLE_GRAD : nopt_role.NOPT_ROLE_GRAD_DISPLACED;
                OnEach("nopt_dimer_displace", model => model.Displace(options));
                SetGradient(displaced, 1 - Place);
                for (int i = dimer.IsOptimal ? 0 : 1; i <= furtherRotations; i++)
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
        hyperparameters.lr /= _step;
        return hyperparameters;
    }

    private void SetGradient(nopt_role role, int place)
    {
        byte[] image = _buffers.DrawGradient(place, _case.Arrangement.HasStrange && _step == 2);
        OnEach(model => model.SetGradient(role, place, image));
    }

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
        for (int i = 0; i < expected.Length; i++)
        {
            // Gradients are only read, so it is known what must be there.
            if (i < _buffers.Gradients.Length)
            {
                _comparison.Block(
                    expected[i].Name, expected[i].Layout, _buffers.Gradients[i].Image, expected[i].Read());
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

    // What has no gradient is only read, so it is known what must be there, whoever computed it.
    private void RequireFrozen(SelftestModel model)
    {
        if (_case.Gradients is not { HasFrozen: true })
        {
            return;
        }

        GuardedBlock parameters = ParametersOf(model);
        ReadOnlySpan<byte> actual = parameters.Read();
        for (int tensor = 0; tensor < parameters.Layout.TensorCount; tensor++)
        {
            if (_case.IsFrozen(tensor))
            {
                _comparison.Tensor(parameters.Name, parameters.Layout, tensor, _buffers.Parameters.Image, actual);
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
}
