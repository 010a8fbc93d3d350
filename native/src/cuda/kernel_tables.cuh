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

template <class Rule, int kVariant>
constexpr PlainKernel plain_kernel() {
    if constexpr (kVariant < RuleShape<Rule>::kVariants) {
        return &update_kernel<Rule, kVariant>;
    } else {
        return nullptr;
    }
}

template <class Rule, int kVariant>
constexpr PlainKernel mixed_kernel() {
    if constexpr (kVariant < RuleShape<Rule>::kVariants) {
        return &mixed_update_kernel<Rule, kVariant>;
    } else {
        return nullptr;
    }
}

template <class Rule, int kVariant>
constexpr PlainKernel blockwise_kernel() {
    if constexpr (kVariant < RuleShape<Rule>::kVariants && RuleShape<Rule>::kHas8Bits) {
        return &blockwise_update_kernel<Rule, kVariant>;
    } else {
        return nullptr;
    }
}

template <class Rule>
constexpr DimerKernel blockwise_dimer_kernel() {
    if constexpr (RuleShape<Rule>::kHas8Bits) {
        return &blockwise_dimer_update_kernel<Rule>;
    } else {
        return nullptr;
    }
}

template <class Rule, int... kVariants>
RuleKernels kernels_of(std::integer_sequence<int, kVariants...>) {
    return {{plain_kernel<Rule, kVariants>()...},
            &dimer_update_kernel<Rule>,
            {mixed_kernel<Rule, kVariants>()...},
            &mixed_dimer_update_kernel<Rule>,
            {blockwise_kernel<Rule, kVariants>()...},
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
