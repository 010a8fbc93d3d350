#include "support/rules.h"

#include <map>

#include "support/rule_reference.h"

namespace nopt_test {
namespace {

template <class Info>
std::vector<Info> all_of(const char* rule, int32_t count, nopt_status (*get)(const char*, int32_t, Info*)) {
    std::vector<Info> infos;
    for (int32_t i = 0; i < count; ++i) {
        Info info = {};
        info.struct_size = sizeof info;
        EXPECT_EQ(NOPT_OK, get(rule, i, &info)) << nopt_last_error_message();
        infos.push_back(info);
    }
    return infos;
}

RuleDescription describe_anew(int32_t index) {
    RuleDescription d = {};
    d.info.struct_size = sizeof d.info;
    EXPECT_EQ(NOPT_OK, nopt_rule_get_info(index, &d.info)) << nopt_last_error_message();
    d.hyperparams = all_of(d.info.name, d.info.hyperparam_count, nopt_rule_get_hyperparam);
    d.flags = all_of(d.info.name, d.info.flag_count, nopt_rule_get_flag);
    d.states = all_of(d.info.name, d.info.state_count, nopt_rule_get_state);
    d.inputs = all_of(d.info.name, d.info.input_count, nopt_rule_get_input);
    d.running = all_of(d.info.name, d.info.running_count, nopt_rule_get_running);
    return d;
}

const std::map<std::string, RuleDescription>& descriptions() {
    static const std::map<std::string, RuleDescription> all = [] {
        std::map<std::string, RuleDescription> made;
        for (int32_t i = 0; i < nopt_rule_count(); ++i) {
            const RuleDescription d = describe_anew(i);
            made[d.info.name] = d;
        }
        return made;
    }();
    return all;
}

}  // namespace

std::vector<std::string> all_rules() {
    std::vector<std::string> names;
    for (int32_t i = 0; i < nopt_rule_count(); ++i) {
        nopt_rule_info info = {};
        info.struct_size = sizeof info;
        EXPECT_EQ(NOPT_OK, nopt_rule_get_info(i, &info)) << nopt_last_error_message();
        names.push_back(info.name);
    }
    return names;
}

const RuleDescription& describe(const std::string& rule) {
    const auto found = descriptions().find(rule);
    if (found == descriptions().end()) {
        throw std::invalid_argument("no rule " + rule);
    }
    return found->second;
}

double& value(nopt_hyperparams& h, const std::string& rule, const char* name) {
    return h.values[get(describe(rule).hyperparams, name).index];
}

double value(const nopt_hyperparams& h, const std::string& rule, const char* name) {
    return h.values[get(describe(rule).hyperparams, name).index];
}

bool has_hyperparam(const std::string& rule, const char* name) {
    return find(describe(rule).hyperparams, name) != nullptr;
}

bool has_flag(const std::string& rule, const char* name) { return find(describe(rule).flags, name) != nullptr; }

uint32_t flag(const std::string& rule, const char* name) { return get(describe(rule).flags, name).flag; }

uint32_t known_flags(const std::string& rule, uint32_t flags) { return flags & describe(rule).info.flags; }

nopt_role state_role(const std::string& rule, const char* name) {
    return static_cast<nopt_role>(get(describe(rule).states, name).role);
}

nopt_role input_role(const std::string& rule, const char* name) {
    return static_cast<nopt_role>(get(describe(rule).inputs, name).role);
}

double& running(nopt_step_state& state, const std::string& rule, const char* name) {
    return state.running[get(describe(rule).running, name).index];
}

nopt_hyperparams defaults(const std::string& rule) {
    nopt_hyperparams h = {};
    h.struct_size = sizeof h;
    EXPECT_EQ(NOPT_OK, nopt_rule_get_defaults(rule.c_str(), &h)) << nopt_last_error_message();
    return h;
}

nopt_hyperparams test_hyperparams(const std::string& rule) {
    nopt_hyperparams h = defaults(rule);
    for (const TestValue& one : reference_of(rule).values) {
        if (one.flag == nullptr) {
            value(h, rule, one.name) = one.value;
        }
    }
    return h;
}

nopt_step_state state_after(const std::string& rule, const nopt_hyperparams& h, int64_t steps) {
    nopt_step_state state = {};
    state.struct_size = sizeof state;
    EXPECT_EQ(NOPT_OK, nopt_rule_get_initial_state(rule.c_str(), &state)) << nopt_last_error_message();
    EXPECT_EQ(NOPT_OK, nopt_rule_advance(rule.c_str(), &h, steps, &state)) << nopt_last_error_message();
    return state;
}

bool same_state(const nopt_step_state& a, const nopt_step_state& b) {
    bool same = a.step == b.step;
    for (int i = 0; i < NOPT_MAX_RUNNING; ++i) {
        same = same && a.running[i] == b.running[i];
    }
    return same;
}

std::vector<nopt_role> dimer_roles() {
    std::vector<nopt_role> roles;
    for (int32_t i = 0; i < nopt_role_count(); ++i) {
        nopt_role_info info = {};
        info.struct_size = sizeof info;
        EXPECT_EQ(NOPT_OK, nopt_role_get_info(i, &info)) << nopt_last_error_message();
        if (info.is_of_dimer != 0) {
            roles.push_back(static_cast<nopt_role>(info.role));
        }
    }
    return roles;
}

}  // namespace nopt_test
