// The kernels of every rule, for code that does not know the rules' types.
#pragma once

#include "rules/registry.h"

namespace nopt {

struct CohortScalars;
struct CohortTable;
struct CounterTable;
struct DimerTable;
struct GradDecision;
struct GroupInputs;
struct HostClocks;
struct UpdateTable;

using PlainKernel = void (*)(UpdateTable, CohortScalars);
using DimerKernel = void (*)(UpdateTable, DimerTable, CohortScalars);
using PrepareKernel = void (*)(GroupInputs, GradDecision, CounterTable, HostClocks, CohortTable);

// Steps without a dimer have a kernel for each variant; with one the variant is data.
struct RuleKernels {
    PlainKernel plain[kMaxVariants];
    DimerKernel dimer;                // float32 with a dimer
    PlainKernel mixed[kMaxVariants];  // some type is not float32
    DimerKernel mixed_dimer;
    PlainKernel blockwise[kMaxVariants];  // some state is DYNAMIC8; null: none of the rule may be
    DimerKernel blockwise_dimer;
    PrepareKernel prepare;
};

// A rule's kernels are in a source of their own, which CMake writes (see rule_kernels.cuh), so that rules compile side
// by side.
#define NOPT_RULE(Type, header) extern const RuleKernels k##Type##Kernels;
#include "rules/rules.def"
#undef NOPT_RULE

// By RuleIndex.
inline const RuleKernels& kernels_of(int rule) {
    static constexpr const RuleKernels* kKernels[kRuleCount] = {
#define NOPT_RULE(Type, header) &k##Type##Kernels,
#include "rules/rules.def"
#undef NOPT_RULE
    };
    return *kKernels[rule];
}

}  // namespace nopt
