using System.Text;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>Reads the native library's descriptions of its rules.</summary>
internal static unsafe class RuleReader
{
    private delegate nopt_status Describe<T>(sbyte* rule, int index, T* info)
        where T : unmanaged;

    public static IReadOnlyList<Rule> ReadAll()
    {
        Rule[] rules = new Rule[NativeMethods.nopt_rule_count()];
        for (int i = 0; i < rules.Length; i++)
        {
            nopt_rule_info info = new() { struct_size = (uint)sizeof(nopt_rule_info) };
            NativeError.ThrowIfFailed(NativeMethods.nopt_rule_get_info(i, &info));
            rules[i] = Read(info);
        }

        return Array.AsReadOnly(rules);
    }

    /// <summary>Takes a step state on.</summary>
    public static void Advance(string rule, in nopt_hyperparams hyperparameters, long steps, ref nopt_step_state state)
    {
        fixed (byte* name = Utf8(rule))
        fixed (nopt_hyperparams* options = &hyperparameters)
        fixed (nopt_step_state* advanced = &state)
        {
            NativeError.ThrowIfFailed(NativeMethods.nopt_rule_advance((sbyte*)name, options, steps, advanced));
        }
    }

    /// <summary>A text as C functions take it.</summary>
    public static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static Rule Read(nopt_rule_info info)
    {
        sbyte* name = info.name;
        nopt_hyperparam_info[] hyperparameters =
            ReadEach<nopt_hyperparam_info>(name, info.hyperparam_count, NativeMethods.nopt_rule_get_hyperparam);
        nopt_flag_info[] flags = ReadEach<nopt_flag_info>(name, info.flag_count, NativeMethods.nopt_rule_get_flag);
        nopt_state_info[] states = ReadEach<nopt_state_info>(name, info.state_count, NativeMethods.nopt_rule_get_state);
        nopt_input_info[] inputs = ReadEach<nopt_input_info>(name, info.input_count, NativeMethods.nopt_rule_get_input);
        nopt_running_info[] running =
            ReadEach<nopt_running_info>(name, info.running_count, NativeMethods.nopt_rule_get_running);
        nopt_step_state initial = new() { struct_size = (uint)sizeof(nopt_step_state) };
        NativeError.ThrowIfFailed(NativeMethods.nopt_rule_get_initial_state(name, &initial));
        nopt_hyperparams defaults = new() { struct_size = (uint)sizeof(nopt_hyperparams) };
        NativeError.ThrowIfFailed(NativeMethods.nopt_rule_get_defaults(name, &defaults));
        return new Rule(
            NativeError.Text(name),
            NativeError.Text(info.source),
            NativeError.Text(info.equations),
            Array.ConvertAll(hyperparameters, Hyperparameter).AsReadOnly(),
            Array.ConvertAll(flags, Flag).AsReadOnly(),
            Array.ConvertAll(states, State).AsReadOnly(),
            Array.ConvertAll(
                inputs,
                static own => new RuleInput(
                    own.role - (int)nopt_role.NOPT_ROLE_INPUT, NativeError.Text(own.name), NativeError.Text(own.meaning)))
                .AsReadOnly(),
            Array.ConvertAll(
                running,
                static own => new RunningScalar(
                    own.index, NativeError.Text(own.name), NativeError.Text(own.meaning), own.initial_value))
                .AsReadOnly(),
            initial,
            defaults.flags);

        static Hyperparameter Hyperparameter(nopt_hyperparam_info own) => new(
            own.index,
            NativeError.Text(own.name),
            NativeError.Text(own.meaning),
            own.default_value,
            own.min,
            own.max,
            own.max_is_excluded != 0,
            own.is_integer != 0,
            own.selects_states != 0);

        RuleFlag Flag(nopt_flag_info own) => new(
            own.flag,
            NativeError.Text(own.name),
            NativeError.Text(own.meaning),
            HyperparameterName(own.needed_hyperparam),
            own.selects_states != 0);

        RuleState State(nopt_state_info own) => new(
            own.role - (int)nopt_role.NOPT_ROLE_STATE,
            NativeError.Text(own.name),
            NativeError.Text(own.meaning),
            own.is_signed != 0,
            DTypes.InMask(own.dtypes),
            own.initial_value,
            HyperparameterName(own.initial_hyperparam),
            own.needed_flag == 0
                ? null
                : NativeError.Text(Array.Find(flags, flag => flag.flag == own.needed_flag).name),
            HyperparameterName(own.needed_hyperparam),
            own.needed_above);

        string? HyperparameterName(int index) => index < 0 ? null : NativeError.Text(hyperparameters[index].name);
    }

    private static T[] ReadEach<T>(sbyte* rule, int count, Describe<T> describe)
        where T : unmanaged
    {
        T[] infos = new T[count];
        for (int i = 0; i < count; i++)
        {
            T info = default;

            // Every struct begins with its size.
            *(uint*)&info = (uint)sizeof(T);
            NativeError.ThrowIfFailed(describe(rule, i, &info));
            infos[i] = info;
        }

        return infos;
    }
}
