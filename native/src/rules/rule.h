// What an update rule is made of. A rule is a struct of static functions that runs on the host and on the device:
//
//   static constexpr RuleTraits traits           its name, and the options and hyperparameters that it knows
//   static constexpr StateRoles states(variant)  the state buffers of each variant (the number of buffers is the only
//                                                 thing that makes another kernel; all else is data in the scalars)
//   static int variant(flags, momentum)          which variant these options need
//   struct Scalars; static Scalars scalars(step, lr_scale, weight_decay)
//                                                 what one tensor's elements share, computed in double, rounded once
//   static auto& common(scalars)                  the CommonScalars in them, const or not
//   template <int Variant> static void update(param, grad, state, scalars)
//                                                 one element, in float: the formula, written once
#pragma once

#include <math.h>
#include <stdint.h>

#include "nativeopt/nativeopt.h"

// Functions that also run on a device. They are always inlined: the kernels are compiled once per instruction set, and
// an out-of-line copy of one of them, merged by the linker with another's, could run on a processor that lacks it.
#if defined(__CUDACC__)
#define NOPT_HD __host__ __device__ __forceinline__
#define NOPT_SQRTF(x) sqrtf(x)
#elif defined(_MSC_VER)
#define NOPT_HD __forceinline
#define NOPT_SQRTF(x) sqrtf(x)
#else
#define NOPT_HD inline __attribute__((always_inline))
#define NOPT_SQRTF(x) __builtin_sqrtf(x)
#endif

namespace nopt {

constexpr int kRoleCount = 13;   // of nopt_role
constexpr int kMaxStates = 3;    // state buffers of one rule
constexpr int kMaxVariants = 2;  // of one rule
constexpr int kMaxScalars = 64;  // bytes of a rule's Scalars

struct RuleTraits {
    const char* name;
    uint32_t flags;        // nopt_flag values that the rule knows
    uint32_t hyperparams;  // nopt_hyperparam values that the rule reads
    nopt_hyperparams defaults;
};

struct StateRoles {
    int count;
    nopt_role roles[kMaxStates];
};

// One step, the same for all tensors of a group. Plain data, so that it can live on the host or on a device.
struct StepInput {
    double lr;  // or NOPT_LR_ON_DEVICE
    double beta1;
    double beta2;
    double eps;
    double weight_decay;
    double momentum;
    double switching_rate;
    double bias_correction1;  // 1 - beta1^t
    double bias_correction2;  // 1 - beta2^t
    int64_t step;             // t, counted from 1
    uint32_t flags;           // nopt_flag values
    uint32_t variant;         // of the rule
    uint64_t rounding_seed;   // of stochastic rounding
    double grad_factor;       // what gradients are multiplied with
    double max_grad;          // what they are clipped to then; infinite: not
};

// ... of all groups of hyperparameters. Variant and rounding are the same for all.
struct StepInputs {
    int32_t count;
    StepInput of[NOPT_MAX_GROUPS];
};

// Takes the step count and the products on by one step, and with them what the step sees. `reads_betas`: the rule does.
NOPT_HD void advance(nopt_step_state& state, StepInput& input, bool reads_betas) {
    state.step += 1;
    if (reads_betas) {
        state.beta1_product *= input.beta1;
        state.beta2_product *= input.beta2;
    }
    input.step = state.step;
    input.bias_correction1 = 1.0 - state.beta1_product;
    input.bias_correction2 = 1.0 - state.beta2_product;
}

// Weight decay and the sign of the gradient are the same for every rule.
struct CommonScalars {
    float lr_weight_decay;  // decoupled: lr * weight_decay
    float weight_decay;     // L2
    float grad_factor;      // negative to maximize
    float max_grad;
    int32_t adjusts_grad;  // whether these two change it
    int32_t decoupled;
    int32_t l2;
};

NOPT_HD CommonScalars common_scalars(const StepInput& step, double lr_scale, double weight_decay) {
    const bool decoupled = (step.flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0;
    CommonScalars s;
    s.lr_weight_decay = static_cast<float>(step.lr * lr_scale * weight_decay);
    s.weight_decay = static_cast<float>(weight_decay);
    s.decoupled = decoupled && weight_decay != 0.0;
    s.l2 = !decoupled && weight_decay != 0.0;
    s.grad_factor = static_cast<float>((step.flags & NOPT_FLAG_MAXIMIZE) != 0 ? -step.grad_factor : step.grad_factor);
    s.max_grad = static_cast<float>(step.max_grad);
    s.adjusts_grad = s.grad_factor != 1.0f || s.max_grad < INFINITY;
    return s;
}

// The gradient that the rule sees: scale and sign first (1 and -1 change no other bit), then clipping, then L2, in
// torch's order. Of NaNs the comparisons keep the gradient.
NOPT_HD float effective_grad(float param, float grad, const CommonScalars& s) {
    float adjusted = grad;
    if (s.adjusts_grad) {
        adjusted = s.grad_factor * grad;
        adjusted = s.max_grad < adjusted ? s.max_grad : adjusted;
        adjusted = -s.max_grad > adjusted ? -s.max_grad : adjusted;
    }
    return s.l2 ? adjusted + s.weight_decay * param : adjusted;
}

// theta <- (1 - lr * weight_decay) * theta - delta. The decay is added to the update first: 1 - lr * weight_decay
// rounded to float would lose most of a small product (1e-7 becomes 1.19e-7), and this loses none of it.
NOPT_HD float apply_update(float param, float delta, const CommonScalars& s) {
    return param - (s.decoupled ? s.lr_weight_decay * param + delta : delta);
}

}  // namespace nopt
