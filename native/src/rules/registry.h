// The rules by name and index, for code that does not know their types.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Rule {
    RuleInfo info;
    // Takes a clock on by one step.
    void (*advance)(const StepInput& step, Clock& clock);
    // Writes the rule's Scalars to `out`, kMaxScalars bytes aligned for any of them. They begin with CommonScalars.
    void (*scalars)(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay, void* out);

    // All flags that the rule knows.
    uint32_t flags() const;
    // The states that a step with these options has, by bit.
    uint32_t states_of(uint32_t flags, const double* values) const;
    // The index of a set of states in info.variants.
    int variant_of(uint32_t states) const;
    // Whether a hyperparameter, or a flag, decides which states there are.
    bool selects_states(int hyperparam) const;
    bool flag_selects_states(uint32_t flag) const;
};

enum RuleIndex {
#define NOPT_RULE(Type, header) kRule##Type,
#include "rules/rules.def"
#undef NOPT_RULE
    kRuleCount
};

extern const Rule kRules[kRuleCount];
inline const Rule& rule_at(int index) { return kRules[index]; }

// The index of the rule of this name, or -1.
int find_rule(const char* name);

// What every tensor's clock is before its first step.
Clock initial_clock(const RuleInfo& info);

}  // namespace nopt
