#include <algorithm>
#include <set>

#include "support/model.h"
#include "support/rule_reference.h"

namespace nopt_test {
namespace {

struct Setting {
    std::string name;
    nopt_hyperparams hyperparams;
};

// What decides which states there are: the bounds of the states, and a value above all of them.
std::vector<double> values_around_bounds(const RuleDescription& rule, const nopt_hyperparam_info& info, double own) {
    std::set<double> values;
    for (const nopt_state_info& state : rule.states) {
        if (state.needed_hyperparam == info.index) {
            values.insert(state.needed_above);
        }
    }
    EXPECT_TRUE(info.is_integer != 0 || own > *values.rbegin())
        << rule.info.name << ": the reference has to name a value of " << info.name << " for the tests";
    values.insert(info.is_integer != 0 ? *values.rbegin() + 1.0 : own);
    return {values.begin(), values.end()};
}

// Every combination of the hyperparameters that decide which states there are.
std::vector<Setting> with_all_states(const std::string& rule, const Setting& base) {
    std::vector<Setting> settings = {base};
    for (const nopt_hyperparam_info& info : describe(rule).hyperparams) {
        if (info.selects_states == 0) {
            continue;
        }
        std::vector<Setting> more;
        for (const Setting& setting : settings) {
            const std::vector<double> values =
                values_around_bounds(describe(rule), info, base.hyperparams.values[info.index]);
            for (size_t i = 0; i < values.size(); ++i) {
                Setting one = setting;
                one.hyperparams.values[info.index] = values[i];
                one.name += i == 0 ? "" : std::string("_") + info.name;
                one.name += i < 2 ? "" : std::to_string(i);
                more.push_back(one);
            }
        }
        settings = more;
    }
    return settings;
}

// Every combination of the flags that fits the hyperparameters, but for those that change no element's arithmetic and
// have tests of their own.
std::vector<Setting> with_all_flags(const std::string& rule, const Setting& base) {
    std::vector<Setting> settings = {base};
    for (const nopt_flag_info& info : describe(rule).flags) {
        const bool needs_decay = info.flag == NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
        const bool lacks = info.needed_hyperparam >= 0 && !(base.hyperparams.values[info.needed_hyperparam] > 0.0);
        constexpr uint32_t kElsewhere =
            NOPT_FLAG_STOCHASTIC_ROUNDING | NOPT_FLAG_STOCHASTIC_ROUNDING_STATES | NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
        if (lacks || needs_decay || (info.flag & kElsewhere) != 0) {
            continue;
        }
        for (size_t i = 0, count = settings.size(); i < count; ++i) {
            Setting one = settings[i];
            one.hyperparams.flags |= info.flag;
            one.name += std::string("_") + info.name;
            for (const TestValue& test : reference_of(rule).values) {
                if (test.flag != nullptr && std::string(test.flag) == info.name) {
                    value(one.hyperparams, rule, test.name) = test.value;
                }
            }
            settings.push_back(one);
        }
    }
    return settings;
}

}  // namespace

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const std::string& rule : all_rules()) {
        Setting plain = {rule, test_hyperparams(rule)};
        plain.hyperparams.flags = 0;
        lr(plain.hyperparams) = 0.01;
        weight_decay(plain.hyperparams) = 0.0;
        std::vector<Setting> settings = {plain};
        const bool can_decouple = has_flag(rule, "decoupled_weight_decay");
        if (describe(rule).hyperparams[NOPT_HYPERPARAM_WEIGHT_DECAY].max >= 0.05) {
            Setting decayed = plain;
            weight_decay(decayed.hyperparams) = 0.05;
            decayed.name += can_decouple ? "_l2" : "_decay";
            settings.push_back(decayed);
        }
        if (can_decouple) {
            Setting decoupled = settings.back();
            decoupled.hyperparams.flags = NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
            decoupled.name = rule + "_decoupled";
            settings.push_back(decoupled);
        }
        for (const Setting& decay : settings) {
            for (const Setting& states : with_all_states(rule, decay)) {
                for (const Setting& one : with_all_flags(rule, states)) {
                    cases.push_back({one.name, rule, one.hyperparams});
                }
            }
        }
    }
    return cases;
}

std::vector<std::string> runnable_isas() {
    std::vector<std::string> names;
    for (int32_t i = 0; i < nopt_cpu_isa_count(); ++i) {
        nopt_cpu_isa_info info = {};
        info.struct_size = sizeof info;
        EXPECT_EQ(NOPT_OK, nopt_cpu_isa_get_info(i, &info));
        if (info.supported != 0) {
            names.push_back(info.name);
        }
    }
    return names;
}

}  // namespace nopt_test
