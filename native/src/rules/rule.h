// What an update rule is made of. A rule is a struct of constants and static functions that run on the host and on the
// device. It derives from RuleDefaults and has
//
//   name, source, equations              what it is called, where it comes from, what it does
//   hyperparams, flags, states, inputs,  its description; see describe.h. Enums name the indices.
//   running, variants
//   struct Scalars : CommonScalars       what the elements of a tensor share in a step
//   static void advance(values, clock)   takes the running scalars on by one step; the count has been taken on already
//   static Scalars scalars(step, clock, lr_scale, weight_decay)
//                                        computed in double, rounded to float once
//   static void update(element, present, scalars)
//                                        one element, in float: the formula, written once
//
// adam.h is the model to follow.
#pragma once

#include <math.h>
#include <stdint.h>

#include "nativeopt/nativeopt.h"
#include "rules/describe.h"

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

constexpr int kMaxStates = NOPT_MAX_STATES;
constexpr int kMaxInputs = NOPT_MAX_INPUTS;
constexpr int kMaxHyperparams = NOPT_MAX_HYPERPARAMS;
constexpr int kMaxRunning = NOPT_MAX_RUNNING;
constexpr int kMaxVariants = 4;  // of one rule
constexpr int kMaxScalars = 96;  // bytes of a rule's Scalars

// How far a tensor has come. Plain data, so that it can live on the host or on a device.
struct Clock {
    int64_t step;  // t; in a step, the one that is being taken
    double running[kMaxRunning];
};

// What one step does, the same for all tensors of a group of hyperparameters. Plain data, too.
struct StepInput {
    double values[kMaxHyperparams];  // values[kLr] may be NOPT_LR_ON_DEVICE
    uint32_t flags;
    uint32_t variant;        // an index into the rule's variants
    uint64_t rounding_seed;  // of stochastic rounding
    double grad_factor;      // what gradients are multiplied with
    double max_grad;         // what their elements are clipped to after that; infinite: they are not
};

template <class Rule>
NOPT_HD void advance(const StepInput& step, Clock& clock) {
    clock.step += 1;
    Rule::advance(step, clock);
}

// base^exponent, by squaring: the order of the multiplications, and with it the bits, are the same everywhere, which
// pow() does not promise. `exponent` is 0 or more.
NOPT_HD double power(double base, int64_t exponent) {
    double result = 1.0;
    for (double square = base; exponent > 0; exponent >>= 1, square *= square) {
        result = (exponent & 1) != 0 ? result * square : result;
    }
    return result;
}

// Takes on a running product of decay rates, `rate` being that of this step.
NOPT_HD void advance_decay_product(double& product, double rate, const StepInput& step, const Clock& clock) {
    const bool by_power = (step.flags & NOPT_FLAG_BIAS_CORRECTION_BY_POWER) != 0;
    product = by_power ? power(rate, clock.step) : product * rate;
}

// One element on its way through a step. Only the states and inputs that are present hold anything.
struct Element {
    float param;
    float grad;
    float state[kMaxStates];
    float input[kMaxInputs];
};

// Which states and inputs there are, by bit. Kernels know it when they are compiled, or it is the same for a whole
// tensor.
struct Present {
    uint32_t states;
    uint32_t inputs;

    NOPT_HD constexpr bool state(int i) const { return (states >> i & 1u) != 0; }
    NOPT_HD constexpr bool input(int i) const { return (inputs >> i & 1u) != 0; }
};

// The scalars of every rule begin with these: weight decay, the sign of the gradient, scaling and clipping are the same
// for all.
struct CommonScalars {
    float lr_weight_decay;  // lr * weight_decay, for decoupled decay
    float weight_decay;     // for L2
    float grad_factor;      // negative to maximize
    float grad_power;       // 1, or a power of 2 that grad_factor lacks; see set_common
    float max_grad;
    int32_t adjusts_grad;  // whether these three change the gradient
    int32_t decoupled;
    int32_t l2;
    uint32_t step;  // the lower bits of t, for stochastic rounding
};

NOPT_HD void set_common(CommonScalars& s, const StepInput& step, const Clock& clock, double lr_scale,
                        double weight_decay) {
    const bool decoupled = (step.flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0;
    s.lr_weight_decay = static_cast<float>(step.values[kLr] * lr_scale * weight_decay);
    s.weight_decay = static_cast<float>(weight_decay);
    s.decoupled = decoupled && weight_decay != 0.0;
    s.l2 = !decoupled && weight_decay != 0.0;
    // A factor below the normal floats would lose digits, or become 0, where large gradients times it are ordinary
    // numbers. So it is applied in two parts, the second of which, a power of 2, rounds nothing normal.
    const double factor = (step.flags & NOPT_FLAG_MAXIMIZE) != 0 ? -step.grad_factor : step.grad_factor;
    const bool is_small = step.grad_factor < double{FLT_MIN};
    s.grad_factor = static_cast<float>(is_small ? factor / double{FLT_MIN} : factor);
    s.grad_power = is_small ? FLT_MIN : 1.0f;
    s.max_grad = static_cast<float>(step.max_grad);
    s.adjusts_grad = s.grad_factor != 1.0f || is_small || s.max_grad < INFINITY;
    s.step = static_cast<uint32_t>(clock.step);
}

// 1, -1, or what is neither above nor below 0: 0 itself, or a NaN. (In two steps, since GCC 12 does not vectorise one
// choice within another everywhere.)
NOPT_HD float sign_of(float x) {
    const float above = x > 0.0f ? 1.0f : x;
    return x < 0.0f ? -1.0f : above;
}

// Scales the gradient and gives it its sign (1 and -1 change no other bit), then clips it. If it is a NaN, the
// comparisons keep it.
NOPT_HD float adjusted_grad(float grad, const CommonScalars& s) {
    float adjusted = s.grad_factor * grad * s.grad_power;
    adjusted = s.max_grad < adjusted ? s.max_grad : adjusted;
    return -s.max_grad > adjusted ? -s.max_grad : adjusted;
}

NOPT_HD float l2_grad(float grad, float param, const CommonScalars& s) { return grad + s.weight_decay * param; }

// The gradient that the rule sees: L2 comes after scaling and clipping, in torch's order.
NOPT_HD float effective_grad(const Element& e, const CommonScalars& s) {
    const float adjusted = s.adjusts_grad ? adjusted_grad(e.grad, s) : e.grad;
    return s.l2 ? l2_grad(adjusted, e.param, s) : adjusted;
}

// theta <- (1 - lr * weight_decay) * theta - delta. The decay is added to the update first: 1 - lr * weight_decay
// rounded to float would lose most of a small product (1e-7 becomes 1.19e-7), and this loses none of it.
NOPT_HD float apply_update(float param, float delta, const CommonScalars& s) {
    return param - (s.decoupled ? s.lr_weight_decay * param + delta : delta);
}

}  // namespace nopt
