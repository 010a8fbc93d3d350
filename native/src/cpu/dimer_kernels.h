// The table of the dimer's CPU kernels, filled once for each instruction set; see kernels.h.
#pragma once

#include <stdint.h>

#include "dimer/dimer.h"

namespace nopt {

// What one call works on: `count` elements of one tensor. What a kernel does not need may be null.
struct DimerArgs {
    const float* grad;       // at theta
    const float* displaced;  // the gradient at the displaced parameters
    float* direction;
    float* rotation_direction;
    float* param;
    float* param_backup;
    float* grad_backup;
    float* grad_change;
    int64_t count;
};

struct DimerKernels {
    // The sums of one chunk, by SumKind.
    void (*sums[kSumKindCount])(const DimerArgs& args, Sums& sums);
    void (*randomize)(float* direction, int64_t count, uint64_t seed, uint64_t first_element);
    void (*scale)(float* direction, int64_t count, double factor);
    // Backs up param (and grad, if grad_backup is not null) and displaces param along the direction. `streams`:
    // writes the backups past the caches.
    void (*displace)(const DimerArgs& args, float displacement, bool streams);
    // Displaces param from its backup along the direction or the rotation direction.
    void (*displace_again)(const DimerArgs& args, const DimerScope& scope, float displacement);
    // Writes the direction, the rotation direction, or both.
    void (*turn)(const DimerArgs& args, const DimerScope& scope, DimerDecision decision);
    // The corrected gradient, to `out`.
    void (*project)(const DimerArgs& args, float correction, float* out);
};

}  // namespace nopt
