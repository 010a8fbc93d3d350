// The dimer's kernels: sums in the fixed order of numerics/sums.h, the decisions of dimer/dimer.h, and the passes over
// the elements.
#pragma once

#include <stdint.h>

#include "cuda/chunks.cuh"
#include "dimer/dimer.h"
#include "numerics/philox.h"

namespace nopt {

// A dimer's pass; all in device memory, passed by value. A role that is not bound is null.
struct DimerTable {
    ChunkTable set;
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

// What the host can read of a scope at any time, in pinned memory that the device writes. It is whole if both numbers
// are equal.
struct PublishedReading {
    uint64_t before;
    DimerReading reading;
    uint64_t after;
};

// ---- sums ----

// The values at one place of the buffers that the kind of sum reads; the rest is 0 and costs nothing.
template <int Kind>
struct SumSource {
    static constexpr int kSums = Kind == kSumsRotate ? 5 : Kind == kSumsOptimize ? 6 : 1;
    static constexpr bool kGrad = Kind != kSumsNorm;
    static constexpr bool kDisplaced = Kind == kSumsRotate || Kind == kSumsOptimize;
    static constexpr bool kRotation = Kind == kSumsOptimize;

    const float* grad;
    const float* displaced;
    const float* direction;
    const float* rotation_direction;

    __device__ SumSource(const DimerTable& table, const Chunk& chunk)
        : grad(kGrad ? table.grad[chunk.tensor] + chunk.begin : nullptr),
          displaced(kDisplaced ? table.displaced[chunk.tensor] + chunk.begin : nullptr),
          direction(table.direction[chunk.tensor] + chunk.begin),
          rotation_direction(kRotation ? table.rotation_direction[chunk.tensor] + chunk.begin : nullptr) {}

    __device__ bool aligned() const {
        return misalignment(grad) == 0 && misalignment(displaced) == 0 && misalignment(direction) == 0 &&
               misalignment(rotation_direction) == 0;
    }

    // The elements from i on; 0 from `count` on, which adds nothing.
    __device__ Pack load(const float* buffer, int i, int count) const {
        Pack values = {};
        if (i + 4 <= count) {
            values = values_at<Pack>(buffer, i);
        } else {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                if (i + k < count) {
                    values.v[k] = buffer[i + k];
                }
            }
        }
        return values;
    }

    // Adds four elements to four lanes.
    __device__ void add_four(int i, int count, double (&lanes)[4][kSums]) const {
        const Pack n = load(direction, i, count);
        const Pack g = kGrad ? load(grad, i, count) : Pack{};
        const Pack d = kDisplaced ? load(displaced, i, count) : Pack{};
        const Pack t = kRotation ? load(rotation_direction, i, count) : Pack{};
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            add(g.v[k], d.v[k], n.v[k], t.v[k], lanes[k]);
        }
    }

    // Adds one element to one lane.
    __device__ void add_one(int i, double (&sum)[kSums]) const {
        add(kGrad ? grad[i] : 0.0f, kDisplaced ? displaced[i] : 0.0f, direction[i],
            kRotation ? rotation_direction[i] : 0.0f, sum);
    }

    // A product of two floats is exact in double: fused or not, each addition rounds once.
    __device__ static void add(float grad, float displaced, float direction, float rotation, double (&sum)[kSums]) {
        const double g = static_cast<double>(grad);
        const double d = static_cast<double>(gradient_difference(displaced, grad));
        const double n = static_cast<double>(direction);
        const double t = static_cast<double>(rotation);
        if constexpr (Kind == kSumsNorm) {
            sum[0] = fma(n, n, sum[0]);
        } else if constexpr (Kind == kSumsProject) {
            sum[0] = fma(g, n, sum[0]);
        } else {
            sum[0] = fma(d, n, sum[0]);
            sum[1] = fma(d, d, sum[1]);
            if constexpr (Kind == kSumsRotate) {
                sum[2] = fma(n, n, sum[2]);
                sum[3] = fma(g, n, sum[3]);
                sum[4] = fma(g, d, sum[4]);
            } else {
                sum[2] = fma(d, t, sum[2]);
                sum[3] = fma(g, t, sum[3]);
                sum[4] = fma(t, t, sum[4]);
                sum[5] = fma(n, t, sum[5]);
            }
        }
    }
};

// The tree over `Width` threads of a warp that are neighbours. Addition commutes, so all of them get the root's bits.
template <int Width>
__device__ inline double tree_of_threads(double value) {
#pragma unroll
    for (int distance = 1; distance < Width; distance *= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    return value;
}

// Each block sums up whole chunks.
template <int Kind>
__global__ void __launch_bounds__(kThreadsPerBlock) sums_kernel(const DimerTable table, Sums* chunk_sums) {
    using Source = SumSource<Kind>;
    constexpr int kSums = Source::kSums;
    constexpr int kGroup = kLanes / 4;  // threads that share a leaf where accesses are wide: four lanes each
    static_assert(kThreadsPerBlock / kGroup == kChunkLeaves, "one group for each leaf");
    static_assert(kChunkLeaves == 32, "a warp sums up the leaves");
    __shared__ double leaves[kSums][kChunkLeaves];
    const int thread = static_cast<int>(threadIdx.x);

    for (int64_t c = blockIdx.x; c < table.set.chunk_count; c += gridDim.x) {
        const Chunk chunk = table.set.chunks[c];
        const int count = count_of(table.set, chunk);
        const Source source(table, chunk);
        if (source.aligned()) {
            const int leaf = thread / kGroup;
            const int begin = leaf * static_cast<int>(kLeafElements) + thread % kGroup * 4;
            double lanes[4][kSums] = {};
#pragma unroll 4
            for (int row = 0; row < static_cast<int>(kLeafElements) / kLanes; ++row) {
                source.add_four(begin + row * kLanes, count, lanes);
            }
#pragma unroll
            for (int s = 0; s < kSums; ++s) {
                const double own = (lanes[0][s] + lanes[1][s]) + (lanes[2][s] + lanes[3][s]);
                const double sum = tree_of_threads<kGroup>(own);
                if (thread % kGroup == 0) {
                    leaves[s][leaf] = sum;
                }
            }
        } else {
            // A warp for each leaf, a thread for each lane.
            const int lane = thread % kLanes;
            for (int leaf = thread / kLanes; leaf < kChunkLeaves; leaf += kThreadsPerBlock / kLanes) {
                const int begin = leaf * static_cast<int>(kLeafElements) + lane;
                double sums[kSums] = {};
                for (int row = 0; row < static_cast<int>(kLeafElements) / kLanes; ++row) {
                    const int i = begin + row * kLanes;
                    if (i < count) {
                        source.add_one(i, sums);
                    }
                }
#pragma unroll
                for (int s = 0; s < kSums; ++s) {
                    const double sum = tree_of_threads<kLanes>(sums[s]);
                    if (lane == 0) {
                        leaves[s][leaf] = sum;
                    }
                }
            }
        }
        __syncthreads();
        if (thread < kChunkLeaves) {
#pragma unroll
            for (int s = 0; s < kSums; ++s) {
                const double sum = tree_of_threads<kChunkLeaves>(leaves[s][thread]);
                if (thread == 0) {
                    chunk_sums[c].value[s] = sum;
                }
            }
            if (thread == 0) {
                for (int s = kSums; s < kMaxSums; ++s) {
                    chunk_sums[c].value[s] = 0.0;
                }
            }
        }
        __syncthreads();
    }
}

// ---- decisions ----

__device__ inline void decide_and_publish(const DimerTable& table, const DimerInput& input, int64_t scope,
                                          const Sums& sums, bool empty, PublishedReading* published) {
    DimerScope own = table.scopes[scope];
    decide(static_cast<DimerDecision>(table.decision), own, sums, input, empty);
    table.scopes[scope] = own;
    // The host may read at any moment, without waiting: see PublishedReading.
    PublishedReading& out = published[scope];
    *static_cast<volatile uint64_t*>(&out.before) = own.version;
    __threadfence_system();
    out.reading = own;
    __threadfence_system();
    *static_cast<volatile uint64_t*>(&out.after) = own.version;
}

// The tree over the chunks of each scope, in place: a block for each scope.
__global__ void __launch_bounds__(kThreadsPerBlock)
    scope_sums_kernel(const DimerTable table, const DimerInput input, int64_t scope_count, const int64_t* first_chunk,
                      Sums* chunk_sums, Sums* sums, int decides, PublishedReading* published) {
    for (int64_t scope = blockIdx.x; scope < scope_count; scope += gridDim.x) {
        Sums* const chunks = chunk_sums + first_chunk[scope];
        const int64_t count = first_chunk[scope + 1] - first_chunk[scope];
        for (int64_t width = 1; width < count; width *= 2) {
            for (int64_t i = 2 * width * threadIdx.x; i + width < count; i += 2 * width * kThreadsPerBlock) {
                for (int s = 0; s < kMaxSums; ++s) {
                    chunks[i].value[s] += chunks[i + width].value[s];
                }
            }
            __syncthreads();
        }
        if (threadIdx.x == 0) {
            Sums own = {};
            if (count > 0) {
                own = chunks[0];
            }
            sums[scope] = own;
            if (decides != 0) {
                decide_and_publish(table, input, scope, own, count == 0, published);
            }
        }
    }
}

__global__ void __launch_bounds__(kThreadsPerBlock)
    decide_kernel(const DimerTable table, const DimerInput input, int64_t scope_count, const int64_t* first_chunk,
                  const Sums* sums, PublishedReading* published) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < scope_count; i += stride) {
        decide_and_publish(table, input, i, sums[i], first_chunk[i] == first_chunk[i + 1], published);
    }
}

// ---- passes over the elements ----

__global__ void __launch_bounds__(kThreadsPerBlock)
    randomize_kernel(const DimerTable table, const int64_t* first_element, uint64_t seed, uint64_t offset) {
    for (int64_t c = blockIdx.x; c < table.set.chunk_count; c += gridDim.x) {
        const Chunk chunk = table.set.chunks[c];
        const int count = count_of(table.set, chunk);
        float* const direction = table.direction[chunk.tensor] + chunk.begin;
        const uint64_t first = offset + static_cast<uint64_t>(first_element[chunk.tensor] + chunk.begin);
        for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreadsPerBlock) {
            direction[i] = random_component(seed, first + static_cast<uint64_t>(i));
        }
    }
}

// Runs Elements over every chunk. It is made from (table, chunk, value), says whether its buffers are aligned alike,
// and does one or four elements.
template <class Elements>
__global__ void __launch_bounds__(kThreadsPerBlock) dimer_kernel(const DimerTable table, double value) {
    for (int64_t c = blockIdx.x; c < table.set.chunk_count; c += gridDim.x) {
        const Chunk chunk = table.set.chunks[c];
        Elements elements(table, chunk, value);
        const int off = elements.offset();
        for_each_element(count_of(table.set, chunk), off, elements.aligned_like(off), elements);
    }
}

__device__ inline const DimerScope& scope_of(const DimerTable& table, const Chunk& chunk) {
    return table.scopes[table.per_tensor != 0 ? chunk.tensor : 0];
}

struct ScaleElements {
    float* direction;
    double factor;

    __device__ ScaleElements(const DimerTable& table, const Chunk& chunk, double)
        : direction(table.direction[chunk.tensor] + chunk.begin), factor(scope_of(table, chunk).along) {
        if (scope_of(table, chunk).turns == 0) {
            direction = nullptr;
        }
    }
    __device__ int offset() const { return misalignment(direction); }
    __device__ bool aligned_like(int) const { return true; }

    template <class Values>
    __device__ void operator()(int64_t i) {
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

    __device__ DisplaceElements(const DimerTable& table, const Chunk& chunk, double value)
        : param(table.param[chunk.tensor] + chunk.begin),
          param_backup(table.param_backup[chunk.tensor] + chunk.begin),
          direction(table.direction[chunk.tensor] + chunk.begin),
          grad(nullptr),
          grad_backup(nullptr),
          displacement(static_cast<float>(value)) {
        if (table.grad_backup != nullptr) {
            grad = table.grad[chunk.tensor] + chunk.begin;
            grad_backup = table.grad_backup[chunk.tensor] + chunk.begin;
        }
    }
    __device__ int offset() const { return misalignment(param); }
    __device__ bool aligned_like(int off) const {
        return misalignment(param_backup) == off && misalignment(direction) == off &&
               (grad_backup == nullptr || (misalignment(grad) == off && misalignment(grad_backup) == off));
    }

    template <class Values>
    __device__ void operator()(int64_t i) {
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

    __device__ TurnElements(const DimerTable& table, const Chunk& chunk, double value)
        : scope(scope_of(table, chunk)),
          decision(table.decision),
          displacement(static_cast<float>(value)),
          grad(table.grad[chunk.tensor] + chunk.begin),
          displaced(table.displaced[chunk.tensor] + chunk.begin),
          direction(table.direction[chunk.tensor] + chunk.begin),
          rotation_direction(nullptr),
          param(table.param[chunk.tensor] + chunk.begin),
          param_backup(table.param_backup[chunk.tensor] + chunk.begin) {
        turns = decision == kDecidePlane ? scope.displaces != 0 : scope.turns != 0;
        if (decision != kDecideRotate) {
            rotation_direction = table.rotation_direction[chunk.tensor] + chunk.begin;
        }
    }
    __device__ int offset() const { return misalignment(param); }
    __device__ bool aligned_like(int off) const {
        return misalignment(grad) == off && misalignment(displaced) == off && misalignment(direction) == off &&
               misalignment(param_backup) == off &&
               (rotation_direction == nullptr || misalignment(rotation_direction) == off);
    }

    template <class Values>
    __device__ void operator()(int64_t i) {
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

    __device__ RestoreElements(const DimerTable& table, const Chunk& chunk, double)
        : param(table.param[chunk.tensor] + chunk.begin),
          param_backup(table.param_backup[chunk.tensor] + chunk.begin) {}
    __device__ int offset() const { return misalignment(param); }
    __device__ bool aligned_like(int off) const { return misalignment(param_backup) == off; }

    template <class Values>
    __device__ void operator()(int64_t i) {
        values_at<Values>(param, i) = values_at<Values>(param_backup, i);
    }
};

}  // namespace nopt
