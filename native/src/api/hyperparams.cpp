#include "api/hyperparams.h"

#include <inttypes.h>
#include <math.h>

#include "api/api.h"

namespace nopt {
namespace {

const char* flag_name(const RuleInfo& info, uint32_t flag) {
    for (const CommonFlagInfo& common : kCommonFlags) {
        if (common.flag == flag) {
            return common.name;
        }
    }
    for (int i = 0; i < info.flags.count; ++i) {
        if (own_flag(i) == flag) {
            return info.flags[i].name;
        }
    }
    return "an unknown flag";
}

void check_flags(const Rule& rule, const nopt_hyperparams& h) {
    const uint32_t unknown = h.flags & ~rule.flags();
    for (uint32_t flag = 1; unknown != 0 && flag != 0; flag <<= 1) {
        if ((unknown & flag) != 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED, "flags has %s (%u), which rule \"%s\" does not know",
                        flag_name(rule.info, flag), flag, rule.info.name);
        }
    }
    for (int i = 0; i < rule.info.flags.count; ++i) {
        const FlagInfo& flag = rule.info.flags[i];
        if ((h.flags & own_flag(i)) != 0 && flag.needed_hyperparam >= 0 && !(h.values[flag.needed_hyperparam] > 0.0)) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "flags has %s, which needs %s > 0", flag.name,
                        rule.info.hyperparams[flag.needed_hyperparam].name);
        }
        if ((h.flags & own_flag(i)) != 0 && flag.zero_hyperparam >= 0 && h.values[flag.zero_hyperparam] != 0.0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "flags has %s, which needs %s = 0", flag.name,
                        rule.info.hyperparams[flag.zero_hyperparam].name);
        }
    }
    if ((h.flags & kStochasticRounding) == 0 && h.rounding_seed != 0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "rounding_seed is %" PRIu64
                    ", but flags has neither stochastic_rounding nor stochastic_rounding_states; leave it 0",
                    h.rounding_seed);
    }
}

void check_for_optimizer(const OptimizerState& optimizer, const nopt_hyperparams& h, int group) {
    double lr = h.values[kLr];
    if (lr == NOPT_LR_ON_DEVICE) {
        if (!optimizer.capturable) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                        "lr is -1; it must be >= 0, or NOPT_LR_ON_DEVICE (-1) of a capturable optimizer, see "
                        "nopt_optimizer_set_capturable");
        }
        lr = optimizer.lr[static_cast<size_t>(group)];
        if (lr == kNoLr) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "lr is NOPT_LR_ON_DEVICE (-1), but none was set; call nopt_optimizer_set_lr first");
        }
    }
    require_learning_rates(optimizer, group, lr);
    if ((h.flags & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0 && !optimizer.set->has_bare_bfloat16()) {
        throw Error(NOPT_ERROR_UNSUPPORTED,
                    "flags has stochastic_rounding, but the set has no bfloat16 tensor without MASTER_PARAM or "
                    "PARAM_REMAINDER");
    }
}

nopt_hyperparams checked_for_optimizer(const OptimizerState& optimizer, const nopt_hyperparams* argument, int group) {
    const nopt_hyperparams h = checked_hyperparams(optimizer.rule_info(), argument);
    check_for_optimizer(optimizer, h, group);
    return h;
}

}  // namespace

const Rule& named_rule(const char* name, int* index) {
    require_not_null(name, "rule");
    const int found = find_rule(name);
    if (found < 0) {
        char known[256] = "";
        for (int i = 0; i < kRuleCount; ++i) {
            const size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", rule_at(i).info.name);
        }
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "rule is \"%.64s\"; the rules are %s", name, known);
    }
    if (index != nullptr) {
        *index = found;
    }
    return rule_at(found);
}

const char* describe_range(const Range& range, char (&text)[96]) {
    if (range.is_integer) {
        snprintf(text, sizeof text, "a whole number from %g to %.17g", range.min, range.max);
    } else if (range.max == double{FLT_MAX}) {
        snprintf(text, sizeof text, "%g, or normal and finite as a float (%g to %g)", range.min, double{FLT_MIN},
                 range.max);
    } else {
        snprintf(text, sizeof text, "in [%g, %g%c", range.min, range.max, range.max_is_excluded ? ')' : ']');
    }
    return text;
}

void require_learning_rates(const OptimizerState& optimizer, int group, double lr) {
    const ParamSet& set = *optimizer.set;
    const double most = optimizer.rule_info().info.hyperparams[kLr].range.max;
    if (lr * set.largest_lr_scale <= most) {
        return;
    }
    for (size_t t = 0; t < set.lr_scale.size(); ++t) {
        if ((set.group.empty() ? 0 : set.group[t]) == group && lr * set.lr_scale[t] > most) {
            throw Error(
                NOPT_ERROR_INVALID_ARGUMENT,
                "lr is %g and lr_scale[%zu] is %g; their product, the tensor's learning rate, must be at most %g", lr,
                t, set.lr_scale[t], most);
        }
    }
}

bool is_in(const Range& range, double value) {
    const bool is_inside = value >= range.min && (range.max_is_excluded ? value < range.max : value <= range.max);
    const bool is_lost = range.max == double{FLT_MAX} && value != range.min && value < double{FLT_MIN};
    return is_inside && !is_lost && !(range.is_integer && floor(value) != value);
}

void check_hyperparam(const HyperparamInfo& info, double value) {
    if (!is_in(info.range, value)) {
        char text[96];
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is %g; it must be %s", info.name, value,
                    describe_range(info.range, text));
    }
}

nopt_hyperparams checked_hyperparams(const Rule& rule, const nopt_hyperparams* argument) {
    const nopt_hyperparams h = read_struct(argument, "hyperparams");
    const RuleInfo& info = rule.info;
    for (int i = 0; i < kMaxHyperparams; ++i) {
        if (i < info.hyperparams.count) {
            if (i != kLr || h.values[i] != NOPT_LR_ON_DEVICE) {
                check_hyperparam(info.hyperparams[i], h.values[i]);
            }
        } else if (h.values[i] != 0.0) {
            throw Error(NOPT_ERROR_UNSUPPORTED, "values[%d] is %g, but rule \"%s\" has %d hyperparameters; leave it 0",
                        i, h.values[i], info.name, info.hyperparams.count);
        }
    }
    check_flags(rule, h);
    return h;
}

nopt_hyperparams read_hyperparams(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams, int group) {
    if (optimizer.group_count() == 1) {
        return checked_for_optimizer(optimizer, hyperparams, 0);
    }
    const nopt_hyperparams* const own = array_element(hyperparams, group, "hyperparams");
    try {
        return checked_for_optimizer(optimizer, own, group);
    } catch (const Error& error) {
        throw Error(error.status, "hyperparams[%d]: %s", group, error.text);
    }
}

}  // namespace nopt
