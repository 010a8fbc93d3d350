// The CPU kernels. This file is compiled once for each instruction set, NOPT_CPU_ISA being its identifier; the compiler
// vectorises the loop. All have the same bits, since nothing is contracted or reassociated.
#include "cpu/kernels.h"

#include <math.h>

#include "cpu/isa_macros.h"
#include "rules/all_rules.h"

namespace nopt {
namespace {

// Between an element and the buffers that a mask names.
template <uint32_t kMask, int kFirst = 0, class Pointer, int kCount>
NOPT_HD void load(const Pointer (&from)[kCount], int64_t i, float (&to)[kCount]) {
    if constexpr (kFirst < kCount) {
        if constexpr ((kMask >> kFirst & 1u) != 0) to[kFirst] = from[kFirst][i];
        load<kMask, kFirst + 1>(from, i, to);
    }
}
template <uint32_t kMask, int kFirst = 0, int kCount>
NOPT_HD void store(const float (&from)[kCount], int64_t i, float* const (&to)[kCount]) {
    if constexpr (kFirst < kCount) {
        if constexpr ((kMask >> kFirst & 1u) != 0) to[kFirst][i] = from[kFirst];
        store<kMask, kFirst + 1>(from, i, to);
    }
}

template <class Rule, uint32_t kStates, uint32_t kInputs>
NOPT_HD void tensor_loop(const ElementwiseArgs& args, int64_t t, const typename Rule::Scalars& scalars) {
    const float* __restrict const grad = static_cast<const float*>(args.buffers.grad[t]);
    float* const param = static_cast<float*>(args.buffers.param[t]);
    const float* const source = static_cast<const float*>(args.buffers.param_source[t]);
    float* states[kMaxStates] = {};
    const float* inputs[kMaxInputs] = {};
    for (int s = 0; s < kMaxStates; ++s) {
        if ((kStates >> s & 1u) != 0) states[s] = static_cast<float*>(args.buffers.states[s][t]);
    }
    for (int n = 0; n < kMaxInputs; ++n) {
        if ((kInputs >> n & 1u) != 0) inputs[n] = static_cast<const float*>(args.buffers.inputs[n][t]);
    }
    const int64_t begin = t == args.first ? args.begin : 0;
    const int64_t end = t == args.last ? args.end : args.buffers.counts[t];
    NOPT_INDEPENDENT_ITERATIONS
    for (int64_t i = begin; i < end; ++i) {
        Element e = {};
        e.param = source[i];
        e.grad = grad[i];
        load<kStates>(states, i, e.state);
        load<kInputs>(inputs, i, e.input);
        Rule::update(e, Present{kStates, kInputs}, scalars);
        param[i] = e.param;
        store<kStates>(e.state, i, states);
    }
}

// Finds the loop for the inputs that the tensor has now.
template <class Rule, uint32_t kStates, uint32_t kInputs>
NOPT_HD void tensor_loop_for(uint32_t inputs, const ElementwiseArgs& args, int64_t t,
                             const typename Rule::Scalars& scalars) {
    if constexpr (kInputs == 0) {
        tensor_loop<Rule, kStates, 0>(args, t, scalars);
    } else if (inputs == kInputs) {
        tensor_loop<Rule, kStates, kInputs>(args, t, scalars);
    } else {
        tensor_loop_for<Rule, kStates, kInputs - 1>(inputs, args, t, scalars);
    }
}

// What becomes of gradients, as the scalars say it, but known when this is compiled. In cache it saves Adam a twentieth
// of its time, InvAdam a tenth, that gradients which are neither scaled nor clipped need no operations for it, and
// InvAdam a fourteenth where they are, that a power of 2 of 1 needs none.
enum GradUse {
    kGradAsItIs,
    kGradAdjusted,
    kGradAdjustedByPower
};

template <class Rule, uint32_t kStates, GradUse kUse>
void all_tensors(const ElementwiseArgs& args) {
    constexpr int kInputCount = describe<Rule>().inputs.count;
    typename Rule::Scalars scalars = *static_cast<const typename Rule::Scalars*>(args.scalars);
    scalars.adjusts_grad = kUse != kGradAsItIs;
    if constexpr (kUse != kGradAdjustedByPower) scalars.grad_power = 1.0f;
    for (int64_t t = args.first; t <= args.last; ++t) {
        if (args.buffers.grad[t] == nullptr) {
            continue;
        }
        uint32_t inputs = 0;
        for (int n = 0; n < kInputCount; ++n) {
            inputs |= args.buffers.inputs[n] != nullptr && args.buffers.inputs[n][t] != nullptr ? 1u << n : 0u;
        }
        tensor_loop_for<Rule, kStates, (1u << kInputCount) - 1u>(inputs, args, t, scalars);
    }
}

template <class Rule, uint32_t kStates>
void elementwise(const ElementwiseArgs& args) {
    const CommonScalars& scalars = *static_cast<const typename Rule::Scalars*>(args.scalars);
    if (scalars.adjusts_grad == 0) {
        all_tensors<Rule, kStates, kGradAsItIs>(args);
    } else if (scalars.grad_power == 1.0f) {
        all_tensors<Rule, kStates, kGradAdjusted>(args);
    } else {
        all_tensors<Rule, kStates, kGradAdjustedByPower>(args);
    }
}

template <class Rule, int kVariant>
constexpr ElementwiseKernel kernel_of() {
    constexpr RuleInfo kInfo = describe<Rule>();
    if constexpr (kVariant < kInfo.variants.count) {
        return &elementwise<Rule, kInfo.variants[kVariant]>;
    } else {
        return nullptr;
    }
}

static_assert(kMaxVariants == 4, "a row of the table below names every variant");

}  // namespace

extern const CpuKernels NOPT_JOIN(cpu_kernels_, NOPT_CPU_ISA);
const CpuKernels NOPT_JOIN(cpu_kernels_, NOPT_CPU_ISA) = {{
#define NOPT_RULE(Type, header) \
    {kernel_of<Type, 0>(), kernel_of<Type, 1>(), kernel_of<Type, 2>(), kernel_of<Type, 3>()},
#include "rules/rules.def"
#undef NOPT_RULE
}};

}  // namespace nopt
