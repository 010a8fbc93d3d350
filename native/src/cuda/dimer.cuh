// The dimer's kernels: the decisions of dimer/dimer.h over the sums of a scope, and the passes over the elements.
#pragma once

#include <stdint.h>

#include "cuda/pieces.cuh"
#include "cuda/published.cuh"
#include "cuda/scalars.cuh"
#include "dimer/dimer.h"
#include "numerics/philox.h"

namespace nopt {

// A dimer's pass; all in device memory, passed by value. A role that is not bound is null.
struct DimerTable {
    PieceTable set;
    const float* const* grad;
    const float* const* displaced;
    float* const* direction;
    float* const* rotation_direction;
    float* const* param;
    float* const* param_backup;
    float* const* grad_backup;
    DimerScope* scopes;
    int32_t per_tensor;
    int32_t decision;  // a DimerDecision
};

// ---- decisions ----

// What deciding takes beside the sums. `input.step` is counted from `step`'s, where the device counts.
struct DecideTable {
    DimerScope* scopes;
    Published<DimerReading>* published;
    const DeviceStep* step;  // null: the host counts
    DimerInput input;
    int32_t decision;  // a DimerDecision
};

// `empty`: the scope has no elements here.
__device__ inline void decide_scope(const DecideTable& table, int64_t scope, const Sums& sums, bool empty) {
    DimerInput input = table.input;
    if (table.step != nullptr) {
        input.step += table.step->state.step;
    }
    DimerScope own = table.scopes[scope];
    decide(static_cast<DimerDecision>(table.decision), own, sums, input, empty);
    table.scopes[scope] = own;
    publish<DimerReading>(table.published[scope], own, own.version);
}

__global__ void __launch_bounds__(kThreadsPerBlock)
    decide_kernel(const __grid_constant__ DecideTable table, int64_t scope_count, const int64_t* first_chunk,
                  const Sums* sums) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < scope_count; i += stride) {
        decide_scope(table, i, sums[i], first_chunk[i] == first_chunk[i + 1]);
    }
}

// ---- passes over the elements ----

__global__ void __launch_bounds__(kThreadsPerBlock)
    randomize_kernel(const __grid_constant__ DimerTable table, const int64_t* first_element, uint64_t seed,
                     uint64_t offset) {
    for_each_piece(table.set, [&](const Piece& piece) {
        float* const direction = table.direction[piece.tensor] + piece.begin;
        const uint64_t first = offset + static_cast<uint64_t>(first_element[piece.tensor] + piece.begin);
        for (int i = lane_of_warp(); i < piece.count; i += kWarpThreads) {
            direction[i] = random_component(seed, first + static_cast<uint64_t>(i));
        }
    });
}

// Runs Elements over every piece. It is made from (table, piece, value), says whether its buffers are aligned alike,
// and does one or four elements.
template <class Elements>
__global__ void __launch_bounds__(kThreadsPerBlock)
    dimer_kernel(const __grid_constant__ DimerTable table, double value) {
    for_each_piece(table.set, [&](const Piece& piece) {
        Elements elements(table, piece, value);
        const int off = elements.offset();
        for_each_element(piece.count, off, elements.aligned_like(off), elements);
    });
}

__device__ inline const DimerScope& scope_of(const DimerTable& table, const Piece& piece) {
    return table.scopes[table.per_tensor != 0 ? piece.tensor : 0];
}

struct ScaleElements {
    float* direction;
    double factor;

    __device__ ScaleElements(const DimerTable& table, const Piece& piece, double)
        : direction(table.direction[piece.tensor] + piece.begin), factor(scope_of(table, piece).along) {
        if (scope_of(table, piece).turns == 0) {
            direction = nullptr;
        }
    }
    __device__ int offset() const { return misalignment(direction); }
    __device__ bool aligned_like(int) const { return true; }

    template <class Values>
    __device__ void operator()(int i) {
        if (direction == nullptr) {
            return;
        }
        Values n = values_at<Values>(direction, i);
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            n.v[k] = scaled(n.v[k], factor);
        }
        values_at<Values>(direction, i) = n;
    }
};

struct DisplaceElements {
    float* param;
    float* param_backup;
    const float* direction;
    const float* grad;
    float* grad_backup;  // null: g stays where it is
    float displacement;

    __device__ DisplaceElements(const DimerTable& table, const Piece& piece, double value)
        : param(table.param[piece.tensor] + piece.begin),
          param_backup(table.param_backup[piece.tensor] + piece.begin),
          direction(table.direction[piece.tensor] + piece.begin),
          grad(nullptr),
          grad_backup(nullptr),
          displacement(static_cast<float>(value)) {
        if (table.grad_backup != nullptr) {
            grad = table.grad[piece.tensor] + piece.begin;
            grad_backup = table.grad_backup[piece.tensor] + piece.begin;
        }
    }
    __device__ int offset() const { return misalignment(param); }
    __device__ bool aligned_like(int off) const {
        return misalignment(param_backup) == off && misalignment(direction) == off &&
               (grad_backup == nullptr || (misalignment(grad) == off && misalignment(grad_backup) == off));
    }

    template <class Values>
    __device__ void operator()(int i) {
        const Values p = values_at<Values>(param, i);
        const Values n = values_at<Values>(direction, i);
        Values g = {};
        if (grad_backup != nullptr) {
            g = values_at<Values>(grad, i);
        }
        Values moved;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            moved.v[k] = displaced_param(p.v[k], displacement, n.v[k]);
        }
        values_at<Values>(param_backup, i) = p;
        values_at<Values>(param, i) = moved;
        if (grad_backup != nullptr) {
            values_at<Values>(grad_backup, i) = g;
        }
    }
};

// Turns N or T, or both, and displaces theta anew along one of them.
struct TurnElements {
    DimerScope scope;
    int decision;
    bool turns;
    float displacement;
    const float* grad;
    const float* displaced;
    float* direction;
    float* rotation_direction;  // null for a fixed rate
    float* param;
    const float* param_backup;

    __device__ TurnElements(const DimerTable& table, const Piece& piece, double value)
        : scope(scope_of(table, piece)),
          decision(table.decision),
          displacement(static_cast<float>(value)),
          grad(table.grad[piece.tensor] + piece.begin),
          displaced(table.displaced[piece.tensor] + piece.begin),
          direction(table.direction[piece.tensor] + piece.begin),
          rotation_direction(nullptr),
          param(table.param[piece.tensor] + piece.begin),
          param_backup(table.param_backup[piece.tensor] + piece.begin) {
        turns = decision == kDecidePlane ? scope.displaces != 0 : scope.turns != 0;
        if (decision != kDecideRotate) {
            rotation_direction = table.rotation_direction[piece.tensor] + piece.begin;
        }
    }
    __device__ int offset() const { return misalignment(param); }
    __device__ bool aligned_like(int off) const {
        return misalignment(grad) == off && misalignment(displaced) == off && misalignment(direction) == off &&
               misalignment(param_backup) == off &&
               (rotation_direction == nullptr || misalignment(rotation_direction) == off);
    }

    template <class Values>
    __device__ void operator()(int i) {
        Values n = values_at<Values>(direction, i);
        Values p = values_at<Values>(param_backup, i);
        Values along = n;
        if (turns) {
            Values t = {};
            if (decision == kDecideOptimizeAgain) {
                t = values_at<Values>(rotation_direction, i);
            }
            const Values g = values_at<Values>(grad, i);
            const Values g2 = values_at<Values>(displaced, i);
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                const float d = gradient_difference(g2.v[k], g.v[k]);
                const float before = n.v[k];
                if (decision == kDecideRotate) {
                    n.v[k] = turned(scope.along, before, scope.across, d);
                    along.v[k] = n.v[k];
                } else if (decision == kDecidePlane) {
                    along.v[k] = turned(scope.t_along, before, scope.t_across, d);
                } else {
                    n.v[k] = turned(scope.along, before, scope.across, t.v[k]);
                    along.v[k] = next_plane(scope, before, t.v[k], d);
                }
            }
            if (decision != kDecidePlane) {
                values_at<Values>(direction, i) = n;
            }
            if (decision != kDecideRotate) {
                values_at<Values>(rotation_direction, i) = along;
            }
        }
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            p.v[k] = displaced_param(p.v[k], displacement, along.v[k]);
        }
        values_at<Values>(param, i) = p;
    }
};

struct RestoreElements {
    float* param;
    const float* param_backup;

    __device__ RestoreElements(const DimerTable& table, const Piece& piece, double)
        : param(table.param[piece.tensor] + piece.begin),
          param_backup(table.param_backup[piece.tensor] + piece.begin) {}
    __device__ int offset() const { return misalignment(param); }
    __device__ bool aligned_like(int off) const { return misalignment(param_backup) == off; }

    template <class Values>
    __device__ void operator()(int i) {
        values_at<Values>(param, i) = values_at<Values>(param_backup, i);
    }
};

}  // namespace nopt
