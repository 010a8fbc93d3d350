// The CPU kernels. This file is compiled once for each instruction set, NOPT_CPU_ISA being its identifier; the compiler
// vectorises the loop. All have the same bits, since nothing is contracted or reassociated.
#include "cpu/kernels.h"

#include <math.h>

#include "cpu/isa_macros.h"
#include "rules/all_rules.h"

namespace nopt {
namespace {

// `AdjustsGrad` is what the scalars say, but known when this is compiled: in cache it saves Adam a twentieth of its
// time, InvAdam a tenth, that gradients which are neither scaled nor clipped need no operations for it.
template <class Rule, int Variant, bool AdjustsGrad>
void elementwise_loop(const ElementwiseArgs& args) {
    constexpr int kStates = Rule::states(Variant).count;
    typename Rule::Scalars scalars = *static_cast<const typename Rule::Scalars*>(args.scalars);
    Rule::common(scalars).adjusts_grad = AdjustsGrad;
    for (int64_t t = args.first; t <= args.last; ++t) {
        const float* __restrict const grad = static_cast<const float*>(args.grad[t]);
        if (grad == nullptr) {
            continue;
        }
        float* const param = static_cast<float*>(args.param[t]);
        const float* const source = static_cast<const float*>(args.param_source[t]);
        float* __restrict const state0 = kStates > 0 ? static_cast<float*>(args.states[0][t]) : nullptr;
        float* __restrict const state1 = kStates > 1 ? static_cast<float*>(args.states[1][t]) : nullptr;
        float* __restrict const state2 = kStates > 2 ? static_cast<float*>(args.states[2][t]) : nullptr;
        const int64_t begin = t == args.first ? args.begin : 0;
        const int64_t end = t == args.last ? args.end : args.counts[t];
        NOPT_INDEPENDENT_ITERATIONS
        for (int64_t i = begin; i < end; ++i) {
            float p = source[i];
            float state[kMaxStates] = {};
            if constexpr (kStates > 0) state[0] = state0[i];
            if constexpr (kStates > 1) state[1] = state1[i];
            if constexpr (kStates > 2) state[2] = state2[i];
            Rule::template update<Variant>(p, grad[i], state, scalars);
            param[i] = p;
            if constexpr (kStates > 0) state0[i] = state[0];
            if constexpr (kStates > 1) state1[i] = state[1];
            if constexpr (kStates > 2) state2[i] = state[2];
        }
    }
}

template <class Rule, int Variant>
void elementwise(const ElementwiseArgs& args) {
    if (Rule::common(*static_cast<const typename Rule::Scalars*>(args.scalars)).adjusts_grad != 0) {
        elementwise_loop<Rule, Variant, true>(args);
    } else {
        elementwise_loop<Rule, Variant, false>(args);
    }
}

}  // namespace

extern const CpuKernels NOPT_JOIN(cpu_kernels_, NOPT_CPU_ISA);
const CpuKernels NOPT_JOIN(cpu_kernels_, NOPT_CPU_ISA) = {{
#define NOPT_RULE(Type, header) {&elementwise<Type, 0>, &elementwise<Type, 1>},
#include "rules/rules.def"
#undef NOPT_RULE
}};

}  // namespace nopt
