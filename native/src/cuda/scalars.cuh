// What a rule's description says to its kernels, and the scalars that the elements of a tensor share: one entry for
// each cohort (backend/cohorts.h).
#pragma once

#include <stdint.h>

#include "cuda/tuning.h"
#include "rules/rule.h"

namespace nopt {

// A rule's description as far as kernels need it, when they are compiled.
template <class Rule>
struct RuleShape {
    static constexpr RuleInfo kInfo = describe<Rule>();
    static constexpr int kStates = kInfo.states.count;
    static constexpr int kInputs = kInfo.inputs.count;
    static constexpr int kVariants = kInfo.variants.count;

    static constexpr uint32_t signed_states() {
        uint32_t states = 0;
        for (int s = 0; s < kStates; ++s) {
            states |= kInfo.states[s].sign == kSigned ? 1u << s : 0u;
        }
        return states;
    }
    static constexpr uint32_t kSignedStates = signed_states();  // by bit

    static constexpr uint32_t state_types() {
        uint32_t types = 0;
        for (int s = 0; s < kStates; ++s) {
            types |= kInfo.states[s].dtypes;
        }
        return types;
    }
    // Whether some state may be of these types.
    static constexpr bool kHas16Bits = (state_types() & dtype_bit(NOPT_DTYPE_BFLOAT16)) != 0;
    static constexpr bool kHas8Bits = (state_types() & dtype_bit(NOPT_DTYPE_DYNAMIC8)) != 0;
};

// Scalars of any rule, passed by value.
struct CohortScalars {
    const int32_t* cohort_of_tensor;  // in device memory; null: all tensors are of cohort 0
    const unsigned char* many;        // kMaxScalars bytes for each cohort, in device memory; null: `few` has them
    alignas(8) unsigned char few[kFewCohorts][kMaxScalars];
};

template <class Rule>
__device__ inline typename Rule::Scalars scalars_of(const CohortScalars& cohorts, int tensor) {
    using Scalars = typename Rule::Scalars;
    const int cohort = cohorts.cohort_of_tensor == nullptr ? 0 : cohorts.cohort_of_tensor[tensor];
    if (cohorts.many != nullptr) {
        return *reinterpret_cast<const Scalars*>(cohorts.many + int64_t{cohort} * kMaxScalars);
    }
    return *reinterpret_cast<const Scalars*>(cohorts.few[cohort]);
}

}  // namespace nopt
