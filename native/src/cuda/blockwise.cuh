// The update kernels where states have 8 bits (NOPT_DTYPE_DYNAMIC8): a warp takes one block of 256 elements at a time,
// since they share a scale that is known when all of them have been updated.
#pragma once

#include <stdint.h>

#include "cuda/elementwise.cuh"
#include "numerics/dynamic8.h"

namespace nopt {

constexpr int kThreadElements = static_cast<int>(kBlockwiseElements) / kWarpThreads;  // of a block
static_assert(kThreadElements == Pack8::kCount, "they move in one access of 16-bit elements");
static_assert(kMinPieceElements % kBlockwiseElements == 0, "pieces begin where blocks do");

// The numbers that bytes name, in shared memory, as the threads of a warp ask for different ones.
struct DynamicNumbers {
    float value[2][256];  // without and with a sign
};

__device__ const DynamicCode<false> kUnsignedCode = DynamicCode<false>();
__device__ const DynamicCode<true> kSignedCode = DynamicCode<true>();

// The codes of some elements in a row. Eight of them lie on a multiple of 4 bytes.
template <int Count>
struct Codes;

template <>
struct Codes<1> {
    unsigned char one;

    __device__ static Codes load(const unsigned char* from) { return {*from}; }
    __device__ void store(unsigned char* to) const { *to = one; }
    __device__ int at(int) const { return one; }
    __device__ void set(int, uint8_t code) { one = code; }
};

template <>
struct Codes<8> {
    uint32_t words[2];

    __device__ static Codes load(const unsigned char* from) {
        const uint32_t* const words = reinterpret_cast<const uint32_t*>(from);
        return {{words[0], words[1]}};
    }
    __device__ void store(unsigned char* to) const {
        uint32_t* const out = reinterpret_cast<uint32_t*>(to);
        out[0] = words[0];
        out[1] = words[1];
    }
    __device__ int at(int k) const { return static_cast<int>(words[k / 4] >> (k % 4 * 8) & 0xffu); }
    // From 0 on, one after another.
    __device__ void set(int k, uint8_t code) {
        words[k / 4] = (k % 4 == 0 ? 0u : words[k / 4]) | uint32_t{code} << (k % 4 * 8);
    }
};

// A state's elements from the begin of a piece on, of any type.
struct StateCells {
    Cells<true> cells;
    unsigned char* blocks;  // null: not DYNAMIC8

    __device__ StateCells() : blocks(nullptr) {}
    __device__ StateCells(RoleTable table, TypeTable types, nopt_role role, const Piece& piece) : blocks(nullptr) {
        if (dtype_of(types, piece.tensor, role) == kDynamic8) {
            blocks = static_cast<unsigned char*>(const_cast<void*>(table[piece.tensor])) + dynamic8_offset(piece.begin);
        } else {
            cells = Cells<true>(table, types, role, piece);
        }
    }

    __device__ bool is_aligned() const { return blocks != nullptr || cells.misalignment<Pack8>() == 0; }
};

// A thread's part of a block, and of it what the kernel keeps until the scales are known.
using ThreadStates = float[kMaxStates][kThreadElements];

// The elements of a piece, a block at a time.
template <class Rule, int Variant, class Source>
struct BlockwiseUpdate {
    static constexpr int kStates = Rule::states(Variant).count;

    Source source;
    StateCells states[kMaxStates];
    typename Rule::Scalars scalars;
    const DynamicNumbers* numbers;

    __device__ static constexpr nopt_role role_of(int s) { return Rule::states(Variant).roles[s]; }

    // Elements from `i` on are updated; their states go to own[...][k] and on.
    template <class Values>
    __device__ void update(int i, ThreadStates& own, int k) {
        Values p;
        Values g;
        source.load(i, p, g);
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            load_state<Values>(s, i, own[s], k);
        }
#pragma unroll
        for (int j = 0; j < Values::kCount; ++j) {
            float state[kMaxStates] = {};
#pragma unroll
            for (int s = 0; s < kStates; ++s) {
                state[s] = own[s][k + j];
            }
            Rule::template update<Variant>(p.v[j], g.v[j], state, scalars);
#pragma unroll
            for (int s = 0; s < kStates; ++s) {
                own[s][k + j] = state[s];
            }
        }
        source.theta.store(i, p);
        source.template store<Values>(i);
    }

    template <class Values>
    __device__ void load_state(int s, int i, float (&own)[kThreadElements], int k) const {
        if (states[s].blocks == nullptr) {
            const Values values = states[s].cells.template load<Values>(i);
#pragma unroll
            for (int j = 0; j < Values::kCount; ++j) {
                own[k + j] = values.v[j];
            }
            return;
        }
        const unsigned char* const block = states[s].blocks + dynamic8_offset(i);
        const float scale = *reinterpret_cast<const float*>(block);
        const Codes<Values::kCount> codes = Codes<Values::kCount>::load(codes_at(s, i));
#pragma unroll
        for (int j = 0; j < Values::kCount; ++j) {
            own[k + j] = numbers->value[is_signed_state(role_of(s))][codes.at(j)] * scale;
        }
    }

    template <class Values>
    __device__ void store_state(int s, int i, const float (&own)[kThreadElements], int k, float scale) const {
        if (states[s].blocks == nullptr) {
            Values values;
#pragma unroll
            for (int j = 0; j < Values::kCount; ++j) {
                values.v[j] = own[k + j];
            }
            states[s].cells.store(i, values);
            return;
        }
        Codes<Values::kCount> codes = {};
#pragma unroll
        for (int j = 0; j < Values::kCount; ++j) {
            const float part = own[k + j] / divisor_of(scale);
            codes.set(j, is_signed_state(role_of(s)) ? to_dynamic<true>(part) : to_dynamic<false>(part));
        }
        codes.store(codes_at(s, i));
    }

    __device__ unsigned char* codes_at(int s, int i) const {
        return states[s].blocks + dynamic8_offset(i) + sizeof(float) + i % static_cast<int>(kBlockwiseElements);
    }

    // The largest magnitude of a state in the block; all threads of the warp get it.
    __device__ static float scale_of(const float (&own)[kThreadElements]) {
        uint32_t largest = 0;
#pragma unroll
        for (int k = 0; k < kThreadElements; ++k) {
            largest = larger_magnitude(largest, own[k]);
        }
#pragma unroll
        for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
            largest = larger_magnitude(largest, float_of(__shfl_xor_sync(0xffffffffu, largest, distance)));
        }
        return float_of(largest);
    }

    // The block that begins with element `first` of the piece. `wide`: it is whole, and all buffers are aligned.
    __device__ void block(int first, int count, bool wide) {
        const int lane = lane_of_warp();
        ThreadStates own = {};
        if (wide) {
            update<Pack8>(first + lane * kThreadElements, own, 0);
        } else {
#pragma unroll
            for (int k = 0; k < kThreadElements; ++k) {
                if (lane + k * kWarpThreads < count) {
                    update<Single>(first + lane + k * kWarpThreads, own, k);
                }
            }
        }
#pragma unroll
        for (int s = 0; s < kStates; ++s) {
            float scale = 0.0f;
            if (states[s].blocks != nullptr) {
                scale = scale_of(own[s]);
                if (lane == 0) {
                    *reinterpret_cast<float*>(states[s].blocks + dynamic8_offset(first)) = scale;
                }
            }
            if (wide) {
                store_state<Pack8>(s, first + lane * kThreadElements, own[s], 0, scale);
                continue;
            }
#pragma unroll
            for (int k = 0; k < kThreadElements; ++k) {
                if (lane + k * kWarpThreads < count) {
                    store_state<Single>(s, first + lane + k * kWarpThreads, own[s], k, scale);
                }
            }
        }
    }
};

// The blocks that a multiprocessor is to hold at least. Two, which leaves 128 registers to a thread: then those of one
// or two states take 72 to 124 and spill none, and three of them, or a dimer, 8 to 64 bytes, so that these get as many
// registers as they ask for, 129 to 158 (nvcc 11.8, sm_80 and sm_90).
template <class Source>
constexpr int min_blocks(int states) {
    return Source::kMinBlocks == 0 && states <= 2 ? 2 : 1;
}

template <class Rule, int Variant, class Source>
__global__ void __launch_bounds__(kThreadsPerBlock, min_blocks<Source>(Rule::states(Variant).count))
    blockwise_kernel(const __grid_constant__ ElementwiseTable table,
                     const __grid_constant__ typename Source::Table source_table,
                     const __grid_constant__ GroupScalars groups) {
    using Elements = BlockwiseUpdate<Rule, Variant, Source>;
    __shared__ DynamicNumbers numbers;
    if (table.skip != nullptr && *table.skip != 0) {
        return;
    }
    for (int i = static_cast<int>(threadIdx.x); i < 256; i += kThreadsPerBlock) {
        numbers.value[0][i] = kUnsignedCode.value[i];
        numbers.value[1][i] = kSignedCode.value[i];
    }
    __syncthreads();
    for_each_piece(table.set, [&](const Piece& piece) {
        if (table.grad[piece.tensor] == nullptr) {
            return;  // frozen
        }
        Elements elements = {Source(table, source_table, piece), {}, scalars_of<Rule>(groups, piece.tensor), &numbers};
        bool aligned =
            elements.source.theta.template offset<Pack8>() == 0 && elements.source.template aligned_like<Pack8>(0);
#pragma unroll
        for (int s = 0; s < Elements::kStates; ++s) {
            elements.states[s] = StateCells(table.states[s], table.theta.types, Elements::role_of(s), piece);
            aligned = aligned && elements.states[s].is_aligned();
        }
        constexpr int kBlock = static_cast<int>(kBlockwiseElements);
#pragma unroll 1
        for (int first = 0; first < piece.count; first += kBlock) {
            const int count = piece.count - first < kBlock ? piece.count - first : kBlock;
            elements.block(first, count, aligned && count == kBlock);
        }
    });
}

}  // namespace nopt
