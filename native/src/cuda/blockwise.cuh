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

// A state's elements from the begin of a piece on, of any type. (An address and a type alone: every register counts.)
struct StateCells {
    Cells<true> cells;  // of DYNAMIC8, `at` is where the first block is

    __device__ StateCells() {}
    __device__ StateCells(RoleTable table, TypeTable types, nopt_role role, const Piece& piece) {
        if (dtype_of(types, piece.tensor, role) == NOPT_DTYPE_DYNAMIC8) {
            cells.at =
                static_cast<unsigned char*>(const_cast<void*>(table[piece.tensor])) + dynamic8_offset(piece.begin);
            cells.dtype = NOPT_DTYPE_DYNAMIC8;
        } else {
            cells = Cells<true>(table, types, role, piece);
        }
    }

    __device__ bool has_blocks() const { return cells.dtype == NOPT_DTYPE_DYNAMIC8; }
    // The block that element `i` lies in.
    __device__ unsigned char* block(int i) const { return static_cast<unsigned char*>(cells.at) + dynamic8_offset(i); }
    __device__ bool is_aligned() const { return has_blocks() || cells.misalignment<Pack8>() == 0; }
};

// Updates the elements of a piece, a block at a time.
template <class Rule, class Source>
struct BlockwiseUpdate {
    using Shape = RuleShape<Rule>;
    static constexpr int kRoom = Shape::kStates > 0 ? Shape::kStates : 1;

    Source source;
    StateCells states[kRoom];
    Inputs<Rule, true> inputs;
    Present present;
    typename Rule::Scalars scalars;
    const DynamicNumbers* numbers;
    bool has_blocks;  // whether a state is of DYNAMIC8

    __device__ BlockwiseUpdate(const UpdateTable& table, const typename Source::Table& dimer,
                               const CohortScalars& cohorts, const DynamicNumbers* numbers_, const Piece& piece)
        : source(table, dimer, piece),
          inputs(table, piece),
          present{states_of<Rule, kAnyVariant>(table), inputs.present()},
          scalars(scalars_of<Rule>(cohorts, piece.tensor)),
          numbers(numbers_),
          has_blocks(false) {
        source.theta.rounding.set_step(scalars.step);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                states[s] = StateCells(table.states[s], table.theta.types, state_role(s), piece);
                has_blocks = has_blocks || states[s].has_blocks();
            }
        }
    }

    __device__ static constexpr bool is_signed(int s) { return (Shape::kSignedStates >> s & 1u) != 0; }

    // Whether all buffers allow wide accesses.
    __device__ bool is_aligned() const {
        bool aligned = source.theta.template offset<Pack8>() == 0 && source.template aligned_like<Pack8>(0) &&
                       inputs.template aligned_like<Pack8>(0);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            aligned = aligned && (!present.state(s) || states[s].is_aligned());
        }
        return aligned;
    }

    // The states of some elements, until the scales of their block are known.
    template <class Values>
    using OwnStates = float[kRoom][Values::kCount];

    // Updates the elements from `i` on, all but their states, which go to `own`. Without `stores` nothing is written.
    template <class Values>
    __device__ void update(int i, OwnStates<Values>& own, bool stores) const {
        Values p;
        Values g;
        Values direction = {};
        source.load(i, p, g, direction);
        if (stores) {
            // At once: the states' loads wait for one another in any case, and so this takes fewer registers.
            source.store(i, direction);
        }
        Values given[kMaxInputs] = {};
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                load_state<Values>(s, i, own[s]);
            }
        }
        inputs.load(i, given);
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            Element e = {};
            e.param = p.v[k];
            e.grad = g.v[k];
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                e.state[s] = own[s][k];
            }
#pragma unroll
            for (int n = 0; n < Shape::kInputs; ++n) {
                e.input[n] = given[n].v[k];
            }
            Rule::update(e, present, scalars);
            p.v[k] = e.param;
            bool finite = true;
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                finite = finite && (!present.state(s) || is_finite(e.state[s]));
            }
            // As dynamic8.h says at is_finite.
            const bool restarts = has_blocks && !finite;
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                own[s][k] = restarts ? 0.0f : e.state[s];
            }
        }
        if (stores) {
            source.theta.store(i, p);
        }
    }

    template <class Values>
    __device__ void load_state(int s, int i, float (&own)[Values::kCount]) const {
        if (!states[s].has_blocks()) {
            const Values values = states[s].cells.template load<Values>(i);
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                own[k] = values.v[k];
            }
            return;
        }
        const float scale = *reinterpret_cast<const float*>(states[s].block(i));
        const Codes<Values::kCount> codes = Codes<Values::kCount>::load(codes_at(s, i));
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            own[k] = numbers->value[is_signed(s) ? 1 : 0][codes.at(k)] * scale;
        }
    }

    template <class Values>
    __device__ void store_states(int i, const OwnStates<Values>& own, const float (&scales)[kRoom]) const {
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (!present.state(s)) {
                continue;
            }
            if (!states[s].has_blocks()) {
                Values values;
#pragma unroll
                for (int k = 0; k < Values::kCount; ++k) {
                    values.v[k] = own[s][k];
                }
                source.theta.rounding.store_state(states[s].cells, s, i, values);
                continue;
            }
            Codes<Values::kCount> codes = {};
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                const float part = own[s][k] / divisor_of(scales[s]);
                codes.set(k, is_signed(s) ? to_dynamic<true>(part) : to_dynamic<false>(part));
            }
            codes.store(codes_at(s, i));
        }
    }

    __device__ unsigned char* codes_at(int s, int i) const {
        return states[s].block(i) + sizeof(float) + i % static_cast<int>(kBlockwiseElements);
    }

    template <class Values>
    __device__ static void find_largest(const OwnStates<Values>& own, uint32_t (&largest)[kRoom]) {
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                largest[s] = larger_magnitude(largest[s], own[s][k]);
            }
        }
    }

    // The largest magnitude of each state in the block, for all threads of the warp, of the largest of each thread.
    __device__ static void find_scales(uint32_t (&largest)[kRoom], float (&scales)[kRoom]) {
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
#pragma unroll
            for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
                largest[s] = larger_magnitude(largest[s], float_of(__shfl_xor_sync(0xffffffffu, largest[s], distance)));
            }
            scales[s] = float_of(largest[s]);
        }
    }

    __device__ void store_scales(int first, const float (&scales)[kRoom]) const {
        __syncwarp();  // all have read those of before
        if (lane_of_warp() == 0) {
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                if (present.state(s) && states[s].has_blocks()) {
                    *reinterpret_cast<float*>(states[s].block(first)) = scales[s];
                }
            }
        }
    }

    // A whole block from element `first` of the piece on, all of whose buffers allow wide accesses.
    __device__ void whole_block(int first) const {
        const int i = first + lane_of_warp() * kThreadElements;
        OwnStates<Pack8> own = {};
        uint32_t largest[kRoom] = {};
        float scales[kRoom] = {};
        update<Pack8>(i, own, true);
        find_largest<Pack8>(own, largest);
        find_scales(largest, scales);
        store_states<Pack8>(i, own, scales);
        store_scales(first, scales);
    }

    // Any block, one element at a time. The states of a thread are not kept until the scales are known, which would
    // take this code once for each of them; they are computed again.
    __device__ void any_block(int first, int count) const {
        uint32_t largest[kRoom] = {};
        float scales[kRoom] = {};
#pragma unroll 1
        for (int pass = 0; pass < 2; ++pass) {
            const bool stores = pass == 1;
#pragma unroll 1
            for (int i = first + lane_of_warp(); i < first + count; i += kWarpThreads) {
                OwnStates<Single> own = {};
                update<Single>(i, own, stores);
                if (stores) {
                    store_states<Single>(i, own, scales);
                } else {
                    find_largest<Single>(own, largest);
                }
            }
            if (!stores) {
                find_scales(largest, scales);
            }
        }
        store_scales(first, scales);
    }
};

// Updates elements of any type, with and without a dimer.
template <class Rule>
__global__ void __launch_bounds__(kThreadsPerBlock, 1)
    blockwise_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ DimerTable dimer,
                            const __grid_constant__ CohortScalars cohorts) {
    using Elements = BlockwiseUpdate<Rule, DimerSource<true>>;
    __shared__ DynamicNumbers numbers;
    __shared__ SharedByWarps<Elements> shared;
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
        const Elements& elements = shared.make(table, dimer, cohorts, &numbers, piece);
        const bool aligned = elements.is_aligned();
        constexpr int kBlock = static_cast<int>(kBlockwiseElements);
#pragma unroll 1
        for (int first = 0; first < piece.count; first += kBlock) {
            const int count = piece.count - first < kBlock ? piece.count - first : kBlock;
            if (aligned && count == kBlock) {
                elements.whole_block(first);
            } else {
                elements.any_block(first, count);
            }
        }
    });
}

}  // namespace nopt
