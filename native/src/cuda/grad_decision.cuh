// What a step makes of all gradients, on the device: the sum of their squares over the scopes of a pass of sums, and
// the decision of numerics/gradients.h.
#pragma once

#include <stdint.h>

#include "cuda/pieces.cuh"
#include "cuda/published.cuh"
#include "dimer/dimer.h"
#include "numerics/gradients.h"
#include "numerics/sum_kinds.h"

namespace nopt {

// Passed by value. `reading` null: gradients have no options.
struct GradDecision {
    GradInput input;
    // What the scopes of a pass summed up; null where no sum is needed.
    const Sums* sums;
    const DimerScope* scopes;  // what earlier passes of a dimer found; null without one
    int64_t scope_count;
    int32_t kind;   // a SumKind: of that pass
    double growth;  // by a dimer's correction; 1 without one
    GradReading* reading;
    Published<GradReading>* published;
    int32_t* skip;  // for the launches that follow
};

// The sum of the squares of all gradients over the scopes, and the probe of decide_gradients(), in all threads of the
// one block. The order is that of the tree of neighbours.
__device__ inline void sum_squares(const GradDecision& grads, double& sum, double& probe) {
    __shared__ double shares[2][kWarpsPerBlock];
    __shared__ TreeSum squares;
    const SumKind kind = static_cast<SumKind>(grads.kind);
    if (threadIdx.x == 0) {
        squares.clear();
    }
    double own_probe = 0.0;
    for (int64_t begin = 0; begin < grads.scope_count; begin += kThreadsPerBlock) {
        const int64_t i = begin + static_cast<int64_t>(threadIdx.x);
        double square = 0.0;
        if (i < grads.scope_count) {
            const double kept = grads.scopes == nullptr ? 0.0 : grads.scopes[i].grad_square;
            square = grad_square(kind, grads.sums[i], kept);
            own_probe += finite_probe(kind, grads.sums[i], kept);
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

}  // namespace nopt
