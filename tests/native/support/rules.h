// What the library says of its rules; and hyperparameters, flags, states and running scalars by name.
#pragma once

#include <gtest/gtest.h>

#include <string.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "nativeopt/nativeopt.h"

namespace nopt_test {

// Everything that nopt_rule_get_* tell of a rule.
struct RuleDescription {
    nopt_rule_info info;
    std::vector<nopt_hyperparam_info> hyperparams;
    std::vector<nopt_flag_info> flags;
    std::vector<nopt_state_info> states;
    std::vector<nopt_input_info> inputs;
    std::vector<nopt_running_info> running;
};

// The names of all rules, in the library's order.
std::vector<std::string> all_rules();

// Throws where there is no such rule.
const RuleDescription& describe(const std::string& rule);

// Finds a description by its name; null where there is none.
template <class Info>
const Info* find(const std::vector<Info>& infos, const char* name) {
    for (const Info& info : infos) {
        if (strcmp(info.name, name) == 0) {
            return &info;
        }
    }
    return nullptr;
}

// The one of this name. Throws where there is none.
template <class Info>
const Info& get(const std::vector<Info>& infos, const char* name) {
    const Info* const found = find(infos, name);
    if (found == nullptr) {
        throw std::invalid_argument(std::string("the rule has no ") + name);
    }
    return *found;
}

double& value(nopt_hyperparams& h, const std::string& rule, const char* name);
double value(const nopt_hyperparams& h, const std::string& rule, const char* name);
inline double& lr(nopt_hyperparams& h) { return h.values[NOPT_HYPERPARAM_LR]; }
inline double lr(const nopt_hyperparams& h) { return h.values[NOPT_HYPERPARAM_LR]; }
inline double& weight_decay(nopt_hyperparams& h) { return h.values[NOPT_HYPERPARAM_WEIGHT_DECAY]; }
inline double weight_decay(const nopt_hyperparams& h) { return h.values[NOPT_HYPERPARAM_WEIGHT_DECAY]; }

bool has_hyperparam(const std::string& rule, const char* name);
bool has_flag(const std::string& rule, const char* name);
uint32_t flag(const std::string& rule, const char* name);
// Those of the flags that the rule knows.
uint32_t known_flags(const std::string& rule, uint32_t flags);

nopt_role state_role(const std::string& rule, const char* name);
nopt_role input_role(const std::string& rule, const char* name);

double& running(nopt_step_state& state, const std::string& rule, const char* name);

nopt_hyperparams defaults(const std::string& rule);

// The defaults with the values that the rule's reference names; see rule_reference.h.
nopt_hyperparams test_hyperparams(const std::string& rule);

// The step state of a tensor that has taken so many steps with these hyperparameters.
nopt_step_state state_after(const std::string& rule, const nopt_hyperparams& h, int64_t steps);

// Whether the step counts and all running scalars are the same.
bool same_state(const nopt_step_state& a, const nopt_step_state& b);

// The roles that dimers alone use.
std::vector<nopt_role> dimer_roles();

}  // namespace nopt_test
