// What the elements of a tensor share, one entry for each group of tensors that share it (hyperparameters, a
// learning-rate scale and a weight decay), and the step counts of steps that the device counts.
#pragma once

#include <stdint.h>

#include "cuda/pieces.cuh"
#include "cuda/published.cuh"
#include "cuda/tuning.h"
#include "dimer/dimer.h"
#include "numerics/gradients.h"
#include "numerics/sums.h"
#include "rules/rule.h"

namespace nopt {

// Scalars of any rule, passed by value.
struct GroupScalars {
    const int32_t* group_of_tensor;  // in device memory; null: all tensors are of group 0
    const unsigned char* many;       // kMaxScalars bytes for each group, in device memory; null: `few` has them
    alignas(8) unsigned char few[kFewGroups][kMaxScalars];
};

template <class Rule>
__device__ inline typename Rule::Scalars scalars_of(const GroupScalars& groups, int tensor) {
    using Scalars = typename Rule::Scalars;
    const int group = groups.group_of_tensor == nullptr ? 0 : groups.group_of_tensor[tensor];
    if (groups.many != nullptr) {
        return *reinterpret_cast<const Scalars*>(groups.many + int64_t{group} * kMaxScalars);
    }
    return *reinterpret_cast<const Scalars*>(groups.few[group]);
}

// What a capturable optimizer has in device memory for each group of hyperparameters.
struct DeviceStep {
    nopt_step_state state;
    double lr;          // of steps whose own is NOPT_LR_ON_DEVICE
    double loss_scale;  // ... of gradients whose own is NOPT_LOSS_SCALE_ON_DEVICE; in the first one
    uint64_t version;   // counts the changes
};

// What a step makes of the gradients, on the device; passed by value. `reading` null: nothing.
struct GradDecision {
    GradInput input;
    // What the scopes of a pass summed up; null where nothing is needed.
    const Sums* sums;
    const DimerScope* scopes;
    int64_t scope_count;
    int32_t decision;  // a DimerDecision: of the pass
    GradReading* reading;
    Published<GradReading>* published;
    int32_t* skip;  // for the launches that follow
};

// The sum of the squares of all gradients over the scopes, and the probe of decide_gradients(), in all threads of the
// one block. The order is that of the tree of neighbours.
__device__ inline void sum_scopes(const GradDecision& grads, double& sum, double& probe) {
    __shared__ double shares[2][kWarpsPerBlock];
    __shared__ TreeSum squares;
    const DimerDecision decision = static_cast<DimerDecision>(grads.decision);
    if (threadIdx.x == 0) {
        squares.clear();
    }
    double own_probe = 0.0;
    for (int64_t begin = 0; begin < grads.scope_count; begin += kThreadsPerBlock) {
        const int64_t i = begin + static_cast<int64_t>(threadIdx.x);
        double square = 0.0;
        if (i < grads.scope_count) {
            square = grad_square(decision, grads.scopes[i], grads.sums[i]);
            own_probe += finite_probe(decision, grads.scopes[i], grads.sums[i]);
        }
        square = tree_of_threads<kWarpThreads>(square);
        if (lane_of_warp() == 0) {
            shares[0][warp_of_block()] = square;
        }
        __syncthreads();
        if (warp_of_block() == 0) {
            square = tree_of_threads<kWarpsPerBlock>(shares[0][lane_of_warp() % kWarpsPerBlock]);
            if (threadIdx.x == 0) {
                squares.add(square);
            }
        }
        __syncthreads();
    }
    own_probe = tree_of_threads<kWarpThreads>(own_probe);
    if (lane_of_warp() == 0) {
        shares[1][warp_of_block()] = own_probe;
    }
    __syncthreads();
    sum = squares.total();
    probe = tree_of_threads<kWarpsPerBlock>(shares[1][lane_of_warp() % kWarpsPerBlock]);
}

// What tells the groups of tensors apart, in device memory; passed by value.
struct GroupTable {
    const int32_t* count;
    const int32_t* hyperparams;
    const double* lr_scale;
    const double* weight_decay;  // or NOPT_INHERIT
};

// Before a step: counts it, if the device does, and computes the scalars of all groups. One block.
template <class Rule>
__global__ void __launch_bounds__(kThreadsPerBlock, 1)
    prepare_kernel(const __grid_constant__ StepInputs inputs, const GradDecision grads, DeviceStep* steps,
                   Published<nopt_step_state>* published, const GroupTable groups, unsigned char* scalars) {
    constexpr bool kReadsBetas = (Rule::traits.hyperparams & NOPT_HYPERPARAM_BETAS_EPS) != 0;
    GradInput grad_input = grads.input;
    GradReading reading;
    if (grads.reading != nullptr) {
        if (grad_input.loss_scale == NOPT_LOSS_SCALE_ON_DEVICE) {
            grad_input.loss_scale = steps->loss_scale;
        }
        double sum = 0.0;
        double probe = 0.0;
        if (grads.sums != nullptr) {
            sum_scopes(grads, sum, probe);
        }
        reading = *grads.reading;
        const bool taken = decide_gradients(grad_input, sum, probe, reading);
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
    const int count = *groups.count;
    for (int g = static_cast<int>(threadIdx.x); g < count; g += kThreadsPerBlock) {
        StepInput input = inputs.of[groups.hyperparams[g]];
        if (steps != nullptr) {
            const DeviceStep& step = steps[groups.hyperparams[g]];
            nopt_step_state next = step.state;
            advance(next, input, kReadsBetas);
            input.lr = input.lr == NOPT_LR_ON_DEVICE ? step.lr : input.lr;
        }
        if (grads.reading != nullptr) {
            apply_gradients(grad_input, reading, input);
        }
        const double own = groups.weight_decay[g];
        *reinterpret_cast<typename Rule::Scalars*>(scalars + int64_t{g} * kMaxScalars) =
            Rule::scalars(input, groups.lr_scale[g], own == NOPT_INHERIT ? input.weight_decay : own);
    }
    __syncthreads();  // all have read the steps
    const int group = static_cast<int>(threadIdx.x);
    if (steps != nullptr && group < inputs.count) {
        DeviceStep next = steps[group];
        StepInput input = inputs.of[group];
        advance(next.state, input, kReadsBetas);
        ++next.version;
        steps[group] = next;
        publish(published[group], next.state, next.version);
    }
}

// One thread.
__global__ void set_lr_kernel(DeviceStep* step, double lr) { step->lr = lr; }
__global__ void set_loss_scale_kernel(DeviceStep* step, double loss_scale) { step->loss_scale = loss_scale; }

}  // namespace nopt
