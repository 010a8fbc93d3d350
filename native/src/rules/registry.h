// The rules by name and index, for code that does not know their types.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Rule {
    RuleTraits traits;
    StateRoles states[kMaxVariants];
    int (*variant)(uint32_t flags, double momentum);
    // Writes the rule's Scalars to `out`, kMaxScalars bytes aligned for any of them.
    void (*scalars)(const StepInput& step, double lr_scale, double weight_decay, void* out);
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

}  // namespace nopt
