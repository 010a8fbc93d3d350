// What kernels know of the clocks of a capturable optimizer.
#pragma once

#include <stdint.h>

#include "backend/clocks.h"
#include "cuda/published.cuh"

namespace nopt {

// What a capturable optimizer has in device memory beside its clocks.
struct CounterSettings {
    double loss_scale;  // of gradients with NOPT_LOSS_SCALE_ON_DEVICE
    int32_t clock_count;
};

// All in device memory, at addresses that never change, so that captured graphs see what is uploaded after them. Passed
// by value; null where the host counts.
struct CounterTable {
    Clock* clocks;
    const int32_t* advanced_by;  // of each clock, the group whose steps advance it; -1: none does
    const CounterSettings* settings;
    const double* lr;             // of each group's steps with NOPT_LR_ON_DEVICE
    Published<Clock>* published;  // of each group
    int32_t group_count;
};

}  // namespace nopt
