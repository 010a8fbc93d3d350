// The kernels of one rule. CMake writes a source for each line of rules.def:
//
//     #include "cuda/rule_kernels.cuh"
//     #include "rules/adam.h"
//     const nopt::RuleKernels nopt::kAdamKernels = nopt::rule_kernels<nopt::Adam>();
#pragma once

#include <utility>

#include "cuda/blockwise.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/kernel_tables.cuh"
#include "cuda/prepare.cuh"

namespace nopt {

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
constexpr RuleKernels rule_kernels(std::integer_sequence<int, kVariants...>) {
    return {{plain_kernel<Rule, kVariants>()...},
            &dimer_update_kernel<Rule>,
            {mixed_kernel<Rule, kVariants>()...},
            &mixed_dimer_update_kernel<Rule>,
            {blockwise_kernel<Rule, kVariants>()...},
            blockwise_dimer_kernel<Rule>(),
            &prepare_kernel<Rule>};
}

template <class Rule>
constexpr RuleKernels rule_kernels() {
    return rule_kernels<Rule>(std::make_integer_sequence<int, kMaxVariants>());
}

}  // namespace nopt
