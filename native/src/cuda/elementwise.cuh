// The update kernel: one launch for all tensors, whatever their number, sizes and alignments.
#pragma once

#include <stdint.h>

#include "cuda/tuning.h"
#include "rules/registry.h"

namespace nopt {

// A piece of a tensor: kChunkElements elements from `begin`, or as many as are left. 64 bits, since tensors may have
// more than 2^31 elements.
struct Chunk {
    int64_t begin;
    int32_t tensor;
    int32_t reserved;
};

// Four floats that move in one 16-byte access.
struct alignas(16) Pack {
    float v[4];
};

// The set's tables, all in device memory; passed by value.
struct ElementwiseTable {
    const int64_t* counts;       // per tensor
    const double* lr_scale;      // per tensor; null: all 1
    const double* weight_decay;  // per tensor or NOPT_INHERIT; null: all inherit
    const Chunk* chunks;
    int64_t chunk_count;
    float* const* param;               // per tensor
    const float* const* grad;          // per tensor
    float* const* states[kMaxStates];  // per tensor, in the rule's order
};

// The position of an address within its 16 bytes, in elements.
__device__ inline int misalignment(const void* pointer) {
    return static_cast<int>(reinterpret_cast<uintptr_t>(pointer) / sizeof(float) % 4);
}

template <class Rule, int Variant>
__device__ inline void update_one(float* param, const float* grad, float* const* states, int64_t i,
                                  const typename Rule::Scalars& scalars) {
    constexpr int kStates = Rule::states(Variant).count;
    float p = param[i];
    float state[kMaxStates] = {};
#pragma unroll
    for (int s = 0; s < kStates; ++s) {
        state[s] = states[s][i];
    }
    Rule::template update<Variant>(p, grad[i], state, scalars);
    param[i] = p;
#pragma unroll
    for (int s = 0; s < kStates; ++s) {
        states[s][i] = state[s];
    }
}

// Four elements through 16-byte accesses; every address is a multiple of 16.
template <class Rule, int Variant>
__device__ inline void update_four(float* param, const float* grad, float* const* states, int64_t i,
                                   const typename Rule::Scalars& scalars) {
    constexpr int kStates = Rule::states(Variant).count;
    Pack p = *reinterpret_cast<const Pack*>(param + i);
    const Pack g = *reinterpret_cast<const Pack*>(grad + i);
    Pack packs[kMaxStates] = {};
#pragma unroll
    for (int s = 0; s < kStates; ++s) {
        packs[s] = *reinterpret_cast<const Pack*>(states[s] + i);
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        float state[kMaxStates] = {};
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            state[s] = packs[s].v[k];
        }
        Rule::template update<Variant>(p.v[k], g.v[k], state, scalars);
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            packs[s].v[k] = state[s];
        }
    }
    *reinterpret_cast<Pack*>(param + i) = p;
#pragma unroll
    for (int s = 0; s < kStates; ++s) {
        *reinterpret_cast<Pack*>(states[s] + i) = packs[s];
    }
}

template <class Rule, int Variant>
__global__ void __launch_bounds__(kThreadsPerBlock)
    elementwise_kernel(const ElementwiseTable table, const StepInput input) {
    constexpr int kStates = Rule::states(Variant).count;
    __shared__ typename Rule::Scalars scalars;
    double lr_scale = -1.0;  // of `scalars`; no tensor has this one
    double weight_decay = -1.0;

    for (int64_t c = blockIdx.x; c < table.chunk_count; c += gridDim.x) {
        const Chunk chunk = table.chunks[c];
        const double own_lr_scale = table.lr_scale == nullptr ? 1.0 : table.lr_scale[chunk.tensor];
        double own_weight_decay = table.weight_decay == nullptr ? NOPT_INHERIT : table.weight_decay[chunk.tensor];
        if (own_weight_decay == NOPT_INHERIT) {
            own_weight_decay = input.weight_decay;
        }
        // The same for all threads of the block. One thread does the divisions in double: many GPUs have few units for
        // them.
        if (own_lr_scale != lr_scale || own_weight_decay != weight_decay) {
            lr_scale = own_lr_scale;
            weight_decay = own_weight_decay;
            __syncthreads();
            if (threadIdx.x == 0) {
                scalars = Rule::scalars(input, lr_scale, weight_decay);
            }
            __syncthreads();
        }

        const int64_t begin = chunk.begin;
        const int64_t left = table.counts[chunk.tensor] - begin;
        const int count = static_cast<int>(left < kChunkElements ? left : kChunkElements);
        float* const param = table.param[chunk.tensor] + begin;
        const float* const grad = table.grad[chunk.tensor] + begin;
        float* states[kMaxStates] = {};
        // All buffers begin at the same place within 16 bytes: then a few single elements lead to the wide accesses.
        const int off = misalignment(param);
        bool wide = misalignment(grad) == off;
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            states[s] = table.states[s][chunk.tensor] + begin;
            wide = wide && misalignment(states[s]) == off;
        }
        const int lead = (4 - off) % 4;
        const int head = !wide || lead > count ? count : lead;
        const int body = (count - head) / 4 * 4;

        const typename Rule::Scalars own = scalars;
        for (int i = static_cast<int>(threadIdx.x); i < head; i += kThreadsPerBlock) {
            update_one<Rule, Variant>(param, grad, states, i, own);
        }
        for (int i = 4 * static_cast<int>(threadIdx.x); i < body; i += 4 * kThreadsPerBlock) {
            update_four<Rule, Variant>(param, grad, states, head + i, own);
        }
        for (int i = head + body + static_cast<int>(threadIdx.x); i < count; i += kThreadsPerBlock) {
            update_one<Rule, Variant>(param, grad, states, i, own);
        }
    }
}

__global__ void __launch_bounds__(kThreadsPerBlock) fill_kernel(float* destination, int64_t count, float value) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreadsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreadsPerBlock + threadIdx.x; i < count; i += stride) {
        destination[i] = value;
    }
}

}  // namespace nopt
