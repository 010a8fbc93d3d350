// The kernel before a step whose scalars are not known to the host: it decides about the gradients, counts the step, if
// the device does, and computes the scalars of all cohorts.
#pragma once

#include <stdint.h>

#include "backend/cohorts.h"
#include "cuda/counter_table.cuh"
#include "cuda/grad_decision.cuh"
#include "rules/rule.h"

namespace nopt {

// What a step does in each group; passed by value.
struct GroupInputs {
    const StepInput* all;  // in device memory; null: `few` has them
    StepInput few[kFewGroups];
};

// The clocks of a step that the host counts, as they are in it; passed by value.
struct HostClocks {
    const Clock* all;  // in device memory; null: `few` has them
    Clock few[kFewGroups];
};

// All in device memory, passed by value.
struct CohortTable {
    const int32_t* count;
    const Cohort* cohorts;
    unsigned char* scalars;  // kMaxScalars bytes for each cohort
};

__device__ inline StepInput input_of(const GroupInputs& inputs, int group, const CounterTable& counter) {
    StepInput input = inputs.all != nullptr ? inputs.all[group] : inputs.few[group];
    if (counter.clocks != nullptr && input.values[kLr] == NOPT_LR_ON_DEVICE) {
        input.values[kLr] = counter.lr[group];
    }
    return input;
}

// Takes on every clock that advances, and publishes those of the groups.
template <class Rule>
__device__ inline void advance_clocks(const GroupInputs& inputs, const CounterTable& counter) {
    const int count = counter.settings->clock_count;
    for (int c = static_cast<int>(threadIdx.x); c < count; c += kThreadsPerBlock) {
        const int group = counter.advanced_by[c];
        if (group < 0) {
            continue;
        }
        Clock clock = counter.clocks[c];
        advance<Rule>(input_of(inputs, group, counter), clock);
        counter.clocks[c] = clock;
        if (c < counter.group_count) {
            publish(counter.published[c], clock, static_cast<uint64_t>(clock.step));
        }
    }
}

// One block.
template <class Rule>
__global__ void __launch_bounds__(kThreadsPerBlock, 1)
    prepare_kernel(const __grid_constant__ GroupInputs inputs, const __grid_constant__ GradDecision grads,
                   const __grid_constant__ CounterTable counter, const __grid_constant__ HostClocks host_clocks,
                   const __grid_constant__ CohortTable cohorts) {
    GradInput grad_input = grads.input;
    GradReading reading;
    if (grads.reading != nullptr) {
        if (grad_input.loss_scale == NOPT_LOSS_SCALE_ON_DEVICE) {
            grad_input.loss_scale = counter.settings->loss_scale;
        }
        double sum = 0.0;
        double probe = 0.0;
        if (grads.sums != nullptr) {
            sum_squares(grads, sum, probe);
        }
        reading = *grads.reading;
        const bool taken = decide_gradients(grad_input, sum, probe, grads.growth, reading);
        __syncthreads();  // all have read
        if (threadIdx.x == 0) {
            *grads.reading = reading;
            *grads.skip = taken ? 0 : 1;
            publish(*grads.published, reading, reading.version);
        }
        if (!taken) {
            return;
        }
    }
    if (counter.clocks != nullptr) {
        advance_clocks<Rule>(inputs, counter);
        __syncthreads();  // all are in this step
    }
    const int count = *cohorts.count;
    for (int c = static_cast<int>(threadIdx.x); c < count; c += kThreadsPerBlock) {
        const Cohort cohort = cohorts.cohorts[c];
        StepInput input = input_of(inputs, cohort.group, counter);
        if (grads.reading != nullptr) {
            apply_gradients(grad_input, reading, input);
        }
        const Clock clock = counter.clocks != nullptr    ? counter.clocks[cohort.clock]
                            : host_clocks.all != nullptr ? host_clocks.all[cohort.clock]
                                                         : host_clocks.few[cohort.clock];
        *reinterpret_cast<typename Rule::Scalars*>(cohorts.scalars + int64_t{c} * kMaxScalars) =
            Rule::scalars(input, clock, cohort.lr_scale, weight_decay_of(cohort.weight_decay, input));
    }
}

}  // namespace nopt
