// What a step makes of all gradients before anything else: loss scale, clipping, and whether the step is taken at all.
// Once for the host and the device.
#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "rules/rule.h"

namespace nopt {

// One call, the same for all tensors; see nopt_grad_options.
struct GradInput {
    double max_norm;    // 0: not clipped
    double max_value;   // 0: not clipped
    double loss_scale;  // 1: none; or NOPT_LOSS_SCALE_ON_DEVICE
    int32_t skips;      // a step whose gradients are not all finite
};

// Without options.
constexpr GradInput kNoGradInput = {0.0, 0.0, 1.0, 0};

// What the host is told; see nopt_grad_status.
struct GradReading {
    double norm;
    double clip_coefficient;
    int64_t skipped_steps;
    int32_t skipped;   // the last step
    uint64_t version;  // counts the decisions
};

// Before any step.
constexpr GradReading kNoGradReading = {0.0, 1.0, 0, 0, 0};

NOPT_HD bool needs_sum(const GradInput& grads) { return grads.max_norm > 0.0 || grads.skips != 0; }

// `sum`: of the squares of all gradients, as they are; any number where none is needed. A float's square is far from
// the limits of double, so that the sum is finite if and only if all gradients are. `probe`: the same where they are
// all that a step reads; else the sum of the squares of the rest is in it, too. `growth`: how many times longer a
// dimer's correction can make the gradient; 1 without one. Returns whether the step is taken.
NOPT_HD bool decide_gradients(const GradInput& grads, double sum, double probe, double growth, GradReading& reading) {
    reading.norm = needs_sum(grads) ? sqrt(sum) / grads.loss_scale : 0.0;
    reading.clip_coefficient = 1.0;
    if (grads.max_norm > 0.0) {
        // As torch: a norm that is not finite makes the coefficient 0 or NaN.
        const double coefficient = grads.max_norm / (reading.norm + 1e-6);
        reading.clip_coefficient = coefficient > 1.0 ? 1.0 : coefficient;
    }
    // No element is larger than the length of all of them. What nothing makes larger is finite if the gradients are.
    const double largest = grads.loss_scale < 1.0 ? growth / grads.loss_scale : growth;
    const bool is_finite = largest > 1.0 ? sqrt(probe) * largest <= double{FLT_MAX} : probe - probe == 0.0;
    reading.skipped = grads.skips != 0 && !is_finite ? 1 : 0;
    reading.skipped_steps += reading.skipped;
    ++reading.version;
    return reading.skipped == 0;
}

// What the rule sees of the gradients after that.
NOPT_HD void apply_gradients(const GradInput& grads, const GradReading& reading, StepInput& step) {
    step.grad_factor = reading.clip_coefficient / grads.loss_scale;
    step.max_grad = grads.max_value > 0.0 ? grads.max_value : static_cast<double>(INFINITY);
}

}  // namespace nopt
