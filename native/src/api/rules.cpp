// What the rules say of themselves, for callers.
#include <math.h>

#include "api/api.h"
#include "api/hyperparams.h"

using namespace nopt;

namespace {

void check_index(int32_t index, int count, const char* rule, const char* what) {
    if (index < 0 || index >= count) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "index is %d; rule \"%s\" has %d %s", index, rule, count, what);
    }
}

// All flags that a rule knows: the common ones, then its own.
int flags_of(const Rule& rule, nopt_flag_info (&flags)[32]) {
    int count = 0;
    for (const CommonFlagInfo& common : kCommonFlags) {
        if ((rule.info.common_flags & common.flag) != 0) {
            flags[count++] = {0, common.flag, common.name, common.meaning, -1, 0};
        }
    }
    for (int i = 0; i < rule.info.flags.count; ++i) {
        const FlagInfo& own = rule.info.flags[i];
        flags[count++] = {0,           own_flag(i),           own.name,
                          own.meaning, own.needed_hyperparam, rule.flag_selects_states(own_flag(i)) ? 1 : 0};
    }
    return count;
}

// Adds a name to a list in an error text.
void append_name(char (&list)[320], const char* name) {
    const size_t used = strlen(list);
    snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ", name);
}

}  // namespace

extern "C" {

int32_t nopt_rule_count(void) { return kRuleCount; }

nopt_status nopt_rule_get_info(int32_t index, nopt_rule_info* info) {
    return guarded([&] {
        if (index < 0 || index >= kRuleCount) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "index is %d; nopt_rule_count() is %d", index, int{kRuleCount});
        }
        const Rule& rule = rule_at(index);
        nopt_flag_info flags[32];
        nopt_rule_info value = {};
        value.flags = rule.flags();
        value.hyperparam_count = rule.info.hyperparams.count;
        value.flag_count = flags_of(rule, flags);
        value.state_count = rule.info.states.count;
        value.input_count = rule.info.inputs.count;
        value.running_count = rule.info.running.count;
        value.name = rule.info.name;
        value.source = rule.info.source;
        value.equations = rule.info.equations;
        write_struct(info, value, "info");
    });
}

nopt_status nopt_rule_get_defaults(const char* rule, nopt_hyperparams* hyperparams) {
    return guarded([&] {
        const RuleInfo& info = named_rule(rule).info;
        nopt_hyperparams value = {};
        value.flags = info.default_flags;
        for (int i = 0; i < info.hyperparams.count; ++i) {
            value.values[i] = info.hyperparams[i].default_value;
        }
        write_struct(hyperparams, value, "hyperparams");
    });
}

nopt_status nopt_rule_get_hyperparam(const char* rule, int32_t index, nopt_hyperparam_info* info) {
    return guarded([&] {
        const Rule& own = named_rule(rule);
        check_index(index, own.info.hyperparams.count, rule, "hyperparameters");
        const HyperparamInfo& one = own.info.hyperparams[index];
        nopt_hyperparam_info value = {};
        value.index = index;
        value.name = one.name;
        value.meaning = one.meaning;
        value.default_value = one.default_value;
        value.min = one.range.min;
        value.max = one.range.max;
        value.max_is_excluded = one.range.max_is_excluded ? 1 : 0;
        value.is_integer = one.range.is_integer ? 1 : 0;
        value.selects_states = own.selects_states(index) ? 1 : 0;
        write_struct(info, value, "info");
    });
}

nopt_status nopt_rule_get_flag(const char* rule, int32_t index, nopt_flag_info* info) {
    return guarded([&] {
        nopt_flag_info flags[32];
        check_index(index, flags_of(named_rule(rule), flags), rule, "flags");
        write_struct(info, flags[index], "info");
    });
}

nopt_status nopt_rule_get_state(const char* rule, int32_t index, nopt_state_info* info) {
    return guarded([&] {
        const RuleInfo& own = named_rule(rule).info;
        check_index(index, own.states.count, rule, "states");
        const StateInfo& one = own.states[index];
        nopt_state_info value = {};
        value.role = state_role(index);
        value.name = one.name;
        value.meaning = one.meaning;
        value.is_signed = one.sign == kSigned ? 1 : 0;
        value.dtypes = one.dtypes;
        value.initial_hyperparam = one.initial_hyperparam;
        value.needed_flag = one.needed_flag;
        value.initial_value = one.initial_value;
        value.needed_hyperparam = one.needed_hyperparam;
        value.needed_above = one.needed_above;
        write_struct(info, value, "info");
    });
}

nopt_status nopt_rule_get_input(const char* rule, int32_t index, nopt_input_info* info) {
    return guarded([&] {
        const RuleInfo& own = named_rule(rule).info;
        check_index(index, own.inputs.count, rule, "inputs");
        nopt_input_info value = {};
        value.role = input_role(index);
        value.name = own.inputs[index].name;
        value.meaning = own.inputs[index].meaning;
        write_struct(info, value, "info");
    });
}

nopt_status nopt_rule_get_running(const char* rule, int32_t index, nopt_running_info* info) {
    return guarded([&] {
        const RuleInfo& own = named_rule(rule).info;
        check_index(index, own.running.count, rule, "running scalars");
        nopt_running_info value = {};
        value.index = index;
        value.name = own.running[index].name;
        value.meaning = own.running[index].meaning;
        value.initial_value = own.running[index].initial_value;
        write_struct(info, value, "info");
    });
}

nopt_status nopt_hyperparams_set(const char* rule, nopt_hyperparams* hyperparams, const char* name, double value) {
    return guarded([&] {
        const RuleInfo& info = named_rule(rule).info;
        require_not_null(name, "name");
        nopt_hyperparams h = read_struct(hyperparams, "hyperparams");
        char known[320] = "";
        for (int i = 0; i < info.hyperparams.count; ++i) {
            if (strcmp(info.hyperparams[i].name, name) == 0) {
                if (i != kLr || value != NOPT_LR_ON_DEVICE) {
                    check_hyperparam(info.hyperparams[i], value);
                }
                h.values[i] = value;
                write_struct(hyperparams, h, "hyperparams");
                return;
            }
            append_name(known, info.hyperparams[i].name);
        }
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "rule \"%s\" has no hyperparameter \"%.64s\"; it has %s", rule, name,
                    known);
    });
}

nopt_status nopt_hyperparams_set_flag(const char* rule, nopt_hyperparams* hyperparams, const char* name, int32_t on) {
    return guarded([&] {
        const Rule& own = named_rule(rule);
        require_not_null(name, "name");
        if (on != 0 && on != 1) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "on is %d; it must be 0 or 1", on);
        }
        nopt_hyperparams h = read_struct(hyperparams, "hyperparams");
        nopt_flag_info flags[32];
        const int count = flags_of(own, flags);
        char known[320] = "";
        for (int i = 0; i < count; ++i) {
            if (strcmp(flags[i].name, name) == 0) {
                h.flags = on != 0 ? h.flags | flags[i].flag : h.flags & ~flags[i].flag;
                write_struct(hyperparams, h, "hyperparams");
                return;
            }
            append_name(known, flags[i].name);
        }
        throw Error(NOPT_ERROR_UNSUPPORTED, "rule \"%s\" has no flag \"%.64s\"; it has %s", rule, name, known);
    });
}

}  // extern "C"
