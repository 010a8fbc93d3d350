using System.Text;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>A case's tensors with an optimizer, and perhaps a dimer, in one setting. All roles lie between canaries.</summary>
internal unsafe class SelftestModel : IDisposable
{
    // Only some tensors have these; the optimizer does not ask for them.
    private static readonly nopt_role[] MasterRoles = [nopt_role.NOPT_ROLE_MASTER_PARAM, nopt_role.NOPT_ROLE_PARAM_REMAINDER];

    // A mask of roles has so many bits.
    private const int RoleBits = 32;

    private readonly Dictionary<nopt_role, GuardedBlock> _blocks = [];
    private readonly GuardedBlock[] _gradients;
    private readonly GuardedBlock[] _inputs;
    private readonly nopt_role[] _inputRoles;
    private readonly IReadOnlyList<RunningScalar> _runningScalars;
    private readonly DeviceStream _stream;
    private readonly long _tensorCount;
    private readonly bool _isCapturable;
    private readonly bool _hasGradientOptions;
    private nopt_param_set* _set;
    private nopt_optimizer* _optimizer;
    private nopt_dimer* _dimer;

    /// <summary>Makes the model and binds everything.</summary>
    /// <param name="setting">Where it is; to be selected before each call.</param>
    /// <param name="one">The case.</param>
    /// <param name="buffers">What its buffers hold at first.</param>
    public SelftestModel(SelftestSetting setting, SelftestCase one, SelftestBuffers buffers)
    {
        Setting = setting;
        _tensorCount = one.Counts.Length;
        _isCapturable = one.IsCapturable;
        _hasGradientOptions = one.Gradients is not null;
        _inputRoles = [.. one.InputRoles];
        _runningScalars = one.Options.Rule.RunningScalars;
        if (one.Arrangement.HasOwnStream)
        {
            _stream = DeviceStream.Create(setting.Device);
        }

        _gradients = new GuardedBlock[buffers.Gradients.Length];
        _inputs = new GuardedBlock[buffers.Inputs.Length];
        try
        {
            for (int place = 0; place < _gradients.Length; place++)
            {
                (GuardedLayout layout, byte[] image) = buffers.Gradients[place];
                _gradients[place] = new GuardedBlock($"grad (place {place})", setting.Device, layout, image, _stream);
            }

            for (int input = 0; input < _inputs.Length; input++)
            {
                (GuardedLayout layout, byte[] image) = buffers.Inputs[input];
                string name = $"{one.NameOf(_inputRoles[input])} (input)";
                _inputs[input] = new GuardedBlock(name, setting.Device, layout, image, _stream);
            }

            Create(one, buffers);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public SelftestSetting Setting { get; }

    /// <summary>Everything that is compared: first what is only read, the gradients and then the inputs.</summary>
    public IEnumerable<GuardedBlock> Blocks => [.. _gradients, .. _inputs, .. _blocks.Values];

    /// <summary>The optimizer's scalars, and what became of the gradients, by name.</summary>
    public virtual IReadOnlyList<(string Name, double Value)> StepState
    {
        get
        {
            nopt_step_state state = new() { struct_size = (uint)sizeof(nopt_step_state) };
            Require(NativeMethods.nopt_optimizer_get_state(_optimizer, &state), "nopt_optimizer_get_state");
            List<(string, double)> counted = [("step count", state.step)];
            foreach (RunningScalar scalar in _runningScalars)
            {
                counted.Add((scalar.Name, state.running[scalar.Index]));
            }

            if (!_hasGradientOptions)
            {
                return counted;
            }

            nopt_grad_status status = new() { struct_size = (uint)sizeof(nopt_grad_status) };
            Require(NativeMethods.nopt_optimizer_get_grad_status(_optimizer, &status), "nopt_optimizer_get_grad_status");
            return
            [
                .. counted,
                ("skipped", status.skipped),
                ("skipped steps", status.skipped_steps),
                ("norm", status.norm),
                ("clip coefficient", status.clip_coefficient),
            ];
        }
    }

    /// <summary>How far each tensor has come.</summary>
    public virtual nopt_step_state[] TensorStates
    {
        get
        {
            nopt_step_state[] states = new nopt_step_state[_tensorCount];
            Array.Fill(states, new nopt_step_state { struct_size = (uint)sizeof(nopt_step_state) });
            fixed (nopt_step_state* first = states)
            {
                Require(
                    NativeMethods.nopt_optimizer_get_tensor_states(_optimizer, _tensorCount, first),
                    "nopt_optimizer_get_tensor_states");
            }

            return states;
        }
    }

    /// <summary>The number of the dimer's scopes; 0 without one.</summary>
    public int ScopeCount
    {
        get
        {
            long count = 0;
            if (_dimer != null)
            {
                Require(NativeMethods.nopt_dimer_get_scope_count(_dimer, &count), "nopt_dimer_get_scope_count");
            }

            return (int)count;
        }
    }

    /// <summary>A scope's values, after the work that is queued was waited for.</summary>
    public virtual nopt_dimer_status StatusOf(int scope)
    {
        nopt_dimer_status status = new() { struct_size = (uint)sizeof(nopt_dimer_status) };
        Require(NativeMethods.nopt_dimer_get_status(_dimer, scope, &status), "nopt_dimer_get_status");
        return status;
    }

    /// <summary>Binds a place of the gradients with new ones in it.</summary>
    /// <param name="role">GRAD or GRAD_DISPLACED.</param>
    /// <param name="place">The place.</param>
    /// <param name="image">The gradients.</param>
    /// <param name="has">Whether a tensor has one.</param>
    public void SetGradient(nopt_role role, int place, byte[] image, Func<int, bool> has)
    {
        _gradients[place].Write(image);
        Bind(role, Where(_gradients[place].Pointers, has));
    }

    /// <summary>Binds an input with new values.</summary>
    /// <param name="input">The input.</param>
    /// <param name="image">The values.</param>
    /// <param name="has">Whether a tensor has it.</param>
    public void SetInput(int input, byte[] image, Func<int, bool> has)
    {
        _inputs[input].Write(image);
        Bind(_inputRoles[input], Where(_inputs[input].Pointers, has));
    }

    /// <summary>Unbinds an input: later steps do without.</summary>
    public void ClearInput(int input) => Bind(_inputRoles[input], null);

    /// <summary>Says whether the next displacement copies the gradient, or keeps it and gets the displaced one apart.</summary>
    public void SetCopiesGradient(bool copies)
    {
        if (copies)
        {
            Bind(nopt_role.NOPT_ROLE_GRAD_DISPLACED, null);
            Bind(nopt_role.NOPT_ROLE_GRAD_BACKUP, _blocks[nopt_role.NOPT_ROLE_GRAD_BACKUP].Pointers);
        }
        else
        {
            Bind(nopt_role.NOPT_ROLE_GRAD_BACKUP, null);
        }
    }

    public void InitDirection(ulong seed)
    {
        const long FirstElement = 5;
        Require(
            NativeMethods.nopt_dimer_init_direction(_dimer, seed, FirstElement, (void*)_stream.Pointer),
            "nopt_dimer_init_direction");
    }

    public void NormalizeDirection() => Require(
        NativeMethods.nopt_dimer_normalize_direction(_dimer, (void*)_stream.Pointer), "nopt_dimer_normalize_direction");

    public void Displace(nopt_dimer_options options) =>
        Require(NativeMethods.nopt_dimer_displace(_dimer, &options, (void*)_stream.Pointer), "nopt_dimer_displace");

    public void Rotate(nopt_dimer_options options, nopt_hyperparams hyperparameters) => Require(
        NativeMethods.nopt_dimer_rotate(_dimer, &options, &hyperparameters, (void*)_stream.Pointer), "nopt_dimer_rotate");

    public void Restore() =>
        Require(NativeMethods.nopt_dimer_restore(_dimer, (void*)_stream.Pointer), "nopt_dimer_restore");

    public void Sum() => Require(
        NativeMethods.nopt_dimer_sum(_dimer, nopt_dimer_pass.NOPT_DIMER_PASS_STEP, (void*)_stream.Pointer),
        "nopt_dimer_sum");

    /// <summary>A step of the rule, with the dimer if there are options for it.</summary>
    public virtual void Step(nopt_hyperparams hyperparameters, nopt_dimer_options? options)
    {
        if (_isCapturable)
        {
            Require(
                NativeMethods.nopt_optimizer_set_lr(
                    _optimizer, hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR], (void*)_stream.Pointer),
                "nopt_optimizer_set_lr");
            hyperparameters.values[(int)nopt_hyperparam.NOPT_HYPERPARAM_LR] = NativeMethods.NOPT_LR_ON_DEVICE;
        }

        if (options is nopt_dimer_options of)
        {
            Require(
                NativeMethods.nopt_dimer_step(_dimer, &of, &hyperparameters, (void*)_stream.Pointer), "nopt_dimer_step");
        }
        else
        {
            Require(
                NativeMethods.nopt_optimizer_step(_optimizer, &hyperparameters, (void*)_stream.Pointer),
                "nopt_optimizer_step");
        }
    }

    public void Dispose()
    {
        // A device with a fault has nothing to say here that it did not say before.
        _ = NativeMethods.nopt_dimer_destroy(_dimer);
        _ = NativeMethods.nopt_optimizer_destroy(_optimizer);
        _ = NativeMethods.nopt_param_set_destroy(_set);
        _dimer = null;
        _optimizer = null;
        _set = null;
        foreach (GuardedBlock block in Blocks)
        {
            block?.Dispose();
        }

        _stream.Dispose();
        GC.SuppressFinalize(this);
    }

    private void Create(SelftestCase one, SelftestBuffers buffers)
    {
        Device device = Setting.Device;
        nopt_param_set* set = null;
        fixed (long* counts = Array.ConvertAll(one.Counts, static count => (long)count))
        fixed (nopt_dtype* types = TypesOf(nopt_role.NOPT_ROLE_PARAM))
        {
            Require(
                NativeMethods.nopt_param_set_create(
                    (nopt_backend)device.Backend, device.Index, _tensorCount, counts, types, &set),
                "nopt_param_set_create");
        }

        _set = set;
        foreach (nopt_role role in (nopt_role[])[nopt_role.NOPT_ROLE_GRAD, .. one.StateRoles, .. _inputRoles])
        {
            fixed (nopt_dtype* types = TypesOf(role))
            {
                Require(
                    NativeMethods.nopt_param_set_set_dtypes(_set, role, _tensorCount, types),
                    $"nopt_param_set_set_dtypes({role})");
            }
        }

        if (one.Arrangement.HasTensorOptions)
        {
            SetTensorOptions();
        }

        nopt_optimizer* optimizer = null;
        fixed (byte* name = Encoding.UTF8.GetBytes(one.Options.Rule.Name + '\0'))
        {
            Require(
                NativeMethods.nopt_optimizer_create(_set, (sbyte*)name, &optimizer),
                $"nopt_optimizer_create({one.Options.Rule.Name})");
        }

        _optimizer = optimizer;
        if (_isCapturable)
        {
            Require(
                NativeMethods.nopt_optimizer_set_capturable(_optimizer, 1, (void*)_stream.Pointer),
                "nopt_optimizer_set_capturable");
        }

        if (one.Gradients is not null)
        {
            nopt_grad_options options = one.Gradients.ToNative();
            Require(NativeMethods.nopt_optimizer_set_grad_options(_optimizer, &options), "nopt_optimizer_set_grad_options");
        }

        uint roles;
        nopt_hyperparams hyperparameters = one.Options.Hyperparameters;
        Require(
            NativeMethods.nopt_optimizer_get_roles(_optimizer, &hyperparameters, &roles), "nopt_optimizer_get_roles");
        if (one.Dimer is not null)
        {
            roles |= CreateDimer(one.Dimer);
        }

        foreach (nopt_role role in MasterRoles)
        {
            bool isThere = Enumerable.Range(0, one.Counts.Length).Any(tensor => one.TypeOf(role, tensor) is not null);
            roles |= isThere ? 1u << (int)role : 0;
        }

        foreach (nopt_role role in Enumerable.Range(0, RoleBits).Select(static bit => (nopt_role)bit))
        {
            if ((roles & (1u << (int)role)) != 0 && role != nopt_role.NOPT_ROLE_GRAD)
            {
                (GuardedLayout layout, byte[] image) = buffers.Of(role);
                _blocks.Add(role, new GuardedBlock(one.NameOf(role), device, layout, image, _stream));
                Bind(role, _blocks[role].Pointers);
            }
        }

        // A gradient that is missing has a type all the same.
        nopt_dtype[] TypesOf(nopt_role role) =>
        [
            .. Enumerable.Range(0, one.Counts.Length).Select(
                tensor => (nopt_dtype)(one.TypeOf(role, tensor) ?? one.Storage[tensor].TypeOf(role)!.Value)),
        ];
    }

    private uint CreateDimer(DimerSetting setting)
    {
        nopt_dimer* dimer = null;
        Require(NativeMethods.nopt_dimer_create(_optimizer, setting.Scope, &dimer), "nopt_dimer_create");
        _dimer = dimer;
        nopt_dimer_options options = setting.OptionsAt(0);
        uint roles;
        Require(NativeMethods.nopt_dimer_get_roles(_dimer, &options, &roles), "nopt_dimer_get_roles");
        return roles | (1u << (int)nopt_role.NOPT_ROLE_GRAD_BACKUP);
    }

    private void SetTensorOptions()
    {
        double[] learningRates = new double[_tensorCount];
        double[] weightDecays = new double[_tensorCount];
        for (int i = 0; i < _tensorCount; i++)
        {
            learningRates[i] = i % 3 == 0 ? 1 : 0.5 + (0.01 * (i % 11)); // more combinations than travel with a launch
            weightDecays[i] = i % 2 == 0 ? NativeMethods.NOPT_INHERIT : 0.02;
        }

        fixed (double* scales = learningRates, decays = weightDecays)
        {
            Require(
                NativeMethods.nopt_param_set_set_lr_scale(_set, _tensorCount, scales), "nopt_param_set_set_lr_scale");
            Require(
                NativeMethods.nopt_param_set_set_weight_decay(_set, _tensorCount, decays),
                "nopt_param_set_set_weight_decay");
        }
    }

    private static nint[] Where(nint[] pointers, Func<int, bool> has) =>
        [.. pointers.Select((pointer, tensor) => has(tensor) ? pointer : 0)];

    // Null unbinds.
    private void Bind(nopt_role role, nint[]? pointers)
    {
        fixed (nint* first = pointers)
        {
            Require(NativeMethods.nopt_param_set_bind(_set, role, _tensorCount, (void**)first), $"nopt_param_set_bind({role})");
        }
    }

    private void Require(nopt_status status, string call) => NativeCall.Require(status, $"{call} on {Setting.Name}");
}
