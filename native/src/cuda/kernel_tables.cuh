// The kernels of every rule, for code that does not know the rules' types.
#pragma once

#include <utility>

#include "cuda/blockwise.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/prepare.cuh"
#include "rules/all_rules.h"
#include "rules/registry.h"

namespace nopt {

using PlainKernel = void (*)(UpdateTable, CohortScalars);
using DimerKernel = void (*)(UpdateTable, DimerTable, CohortScalars);
using PrepareKernel = void (*)(GroupInputs, GradDecision, CounterTable, HostClocks, CohortTable);

// float32 without a dimer is what most steps are, and has a kernel for each variant; in the others the variant is data.
struct RuleKernels {
    PlainKernel plain[kMaxVariants];
    DimerKernel dimer;  // float32 with a dimer
    PlainKernel mixed;  // some type is not float32
    DimerKernel mixed_dimer;
    PlainKernel blockwise;  // some state is DYNAMIC8; null: none of the rule may be
    DimerKernel blockwise_dimer;
    PrepareKernel prepare;
};

template <class Rule, int kVariant>
constexpr PlainKernel plain_kernel() {
    if constexpr (kVariant < RuleShape<Rule>::kVariants) {
        return &update_kernel<Rule, kVariant>;
    } else {
        return nullptr;
    }
}

template <class Rule>
constexpr PlainKernel blockwise_kernel() {
    if constexpr (RuleShape<Rule>::has_state_of(NOPT_DTYPE_DYNAMIC8)) {
        return &blockwise_update_kernel<Rule>;
    } else {
        return nullptr;
    }
}

template <class Rule>
constexpr DimerKernel blockwise_dimer_kernel() {
    if constexpr (RuleShape<Rule>::has_state_of(NOPT_DTYPE_DYNAMIC8)) {
        return &blockwise_dimer_update_kernel<Rule>;
    } else {
        return nullptr;
    }
}

template <class Rule, int... kVariants>
RuleKernels kernels_of(std::integer_sequence<int, kVariants...>) {
    return {{plain_kernel<Rule, kVariants>()...},
            &dimer_update_kernel<Rule>,
            &mixed_update_kernel<Rule>,
            &mixed_dimer_update_kernel<Rule>,
            blockwise_kernel<Rule>(),
            blockwise_dimer_kernel<Rule>(),
            &prepare_kernel<Rule>};
}

// By RuleIndex.
inline const RuleKernels& kernels_of(int rule) {
    constexpr auto kVariants = std::make_integer_sequence<int, kMaxVariants>();
    static const RuleKernels kKernels[kRuleCount] = {
#define NOPT_RULE(Type, header) kernels_of<Type>(kVariants),
#include "rules/rules.def"
#undef NOPT_RULE
    };
    return kKernels[rule];
}

}  // namespace nopt
