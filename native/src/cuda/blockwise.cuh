// The update kernels where states have 8 bits (NOPT_DTYPE_DYNAMIC8): a warp takes one block of 256 elements at a time,
// since they share a scale that is known when all of them have been updated.
#pragma once

#include <stdint.h>

#include "cuda/dynamic8.cuh"
#include "cuda/elementwise.cuh"

namespace nopt {

constexpr int kBlock = static_cast<int>(kBlockwiseElements);
static_assert(kMinPieceElements % kBlockwiseElements == 0, "pieces begin where blocks do");

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
    // The block that element `i` lies in, which begins with its scale.
    __device__ unsigned char* block(int i) const { return static_cast<unsigned char*>(cells.at) + offset(i); }
    __device__ unsigned char* codes(int i) const {
        constexpr uint32_t kScale = sizeof(float);
        return static_cast<unsigned char*>(cells.at) + (offset(i) + kScale + static_cast<uint32_t>(i) % kBlock);
    }
    // Unsigned, so that the division is a shift.
    __device__ static uint32_t offset(int i) {
        return static_cast<uint32_t>(i) / kBlock * static_cast<uint32_t>(kBlockwiseBytes);
    }
    // The same, if they are of this type, for a loop that is compiled for it.
    template <int kType>
    __device__ StateCells typed() const {
        StateCells state;
        state.cells = cells.template typed<kType>();
        return state;
    }
    __device__ bool is_aligned() const { return has_blocks() || cells.misalignment() == 0; }
};

// Updates the elements of a piece, a block at a time.
template <class Rule, int kVariant, class Source>
struct BlockwiseUpdate {
    using Shape = RuleShape<Rule>;
    using Given = Inputs<Rule, true>;
    static constexpr int kRoom = Shape::kStates > 0 ? Shape::kStates : 1;
    static constexpr int kRandomUses = 1 + Shape::kStates;

    Source source;
    StateCells states[kRoom];
    Given inputs;
    PresentOf<Rule, kVariant> present;
    typename Rule::Scalars scalars;
    bool has_blocks;  // whether a state is of DYNAMIC8
    int params;       // the type that a loop of their own is compiled for, if all states are of DYNAMIC8

    __device__ BlockwiseUpdate(const UpdateTable& table, const typename Source::Table& dimer,
                               const CohortScalars& cohorts, const Piece& piece)
        : source(table, dimer, piece),
          inputs(table, piece),
          present(table, inputs.present()),
          scalars(scalars_of<Rule>(cohorts, piece.tensor)),
          has_blocks(false),
          params(kAnyType) {
        source.theta.rounding.set_step(scalars.step);
        bool has_others = false;
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s)) {
                states[s] = StateCells(table.states[s], table.theta.types, state_role(s), piece);
                has_blocks = has_blocks || states[s].has_blocks();
                has_others = has_others || !states[s].has_blocks();
            }
        }
        if constexpr (Source::kIsTyped) {
            const int type = source.is_of(kHalfType) ? kHalfType : NOPT_DTYPE_FLOAT32;
            params = source.is_of(type) && !has_others ? type : kAnyType;
        }
    }

    __device__ static constexpr bool is_signed(int s) { return (Shape::kSignedStates >> s & 1u) != 0; }

    // Whether all buffers allow wide accesses.
    __device__ bool is_aligned() const {
        bool aligned = source.theta.offset() == 0 && source.aligned_like(0) && inputs.aligned_like(0);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            aligned = aligned && (!present.state(s) || states[s].is_aligned());
        }
        return aligned;
    }

    // The states of a block of any types until its scales are known, in shared memory. A thread reads what it has
    // written; in the next block, which may have single elements, others may write there.
    struct alignas(16) BlockStates {
        float value[kRoom][kBlock];
    };

    // What a thread knows of the block that its warp updates.
    struct Block {
        const DynamicTables& tables;
        RandomRoom<kRandomUses>& random;
        BlockStates& states;
        float scale[kRoom];    // as the block was found
        float largest[kRoom];  // magnitude of those that the thread has updated
    };

    // The bits of some elements. Those of DYNAMIC8 share a word.
    template <class Values>
    struct Fetched {
        typename Source::template Fetched<Values> source;
        Bits<Values> states[kRoom];
        typename Given::template Fetched<Values> inputs;
    };

    template <class Values, int kParams, int kStateType>
    __device__ void fetch(int i, Fetched<Values>& fetched) const {
        source.template typed<kParams>().fetch(i, fetched.source);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            const StateCells state = states[s].template typed<kStateType>();
            if (!present.state(s)) {
                continue;
            }
            if (state.has_blocks()) {
                fetched.states[s].word[0] = load_codes<Values::kCount>(state.codes(i));
            } else {
                fetched.states[s] = state.cells.template fetch<Values>(i);
            }
        }
        inputs.template fetch<Values>(i, fetched.inputs);
    }

    template <class Values, int kStateType>
    __device__ Values state_values(int s, const Bits<Values>& bits, const Block& block) const {
        const StateCells state = states[s].template typed<kStateType>();
        if (!state.has_blocks()) {
            return state.cells.values(bits);
        }
        const float* const numbers = is_signed(s) ? block.tables.with_sign.value : block.tables.without_sign.value;
        Values values;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            values.v[k] = numbers[bits.word[0] >> (8 * k) & 0xffu] * block.scale[s];
        }
        return values;
    }

    // Updates the elements from `i` on, and stores what is not of DYNAMIC8. `own` gets their states, which `block`
    // knows the largest of from then on.
    template <class Values, int kParams, int kStateType>
    __device__ void update(int i, const Fetched<Values>& fetched, Block& block, Values (&own)[kRoom]) const {
        const auto& own_source = source.template typed<kParams>();
        const RandomBits random = own_source.theta.rounding.draw(i, Values::kCount, present.get().states, block.random);
        Values p;
        Values g;
        Values direction = {};
        own_source.values(fetched.source, p, g, direction);
        Values given[kMaxInputs] = {};
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            own[s] = present.state(s) ? state_values<Values, kStateType>(s, fetched.states[s], block) : Values{};
        }
#pragma unroll
        for (int n = 0; n < Shape::kInputs; ++n) {
            given[n] = inputs.template values<Values>(fetched.inputs, n);
        }
        update_values<Rule>(p, g, own, given, present.get(), scalars);
        own_source.theta.store(i, p, random);
        own_source.store(i, direction);
        float largest[kRoom];
        if (!find_largest(own, largest) && (kStateType == NOPT_DTYPE_DYNAMIC8 || has_blocks)) {
            restart(own);
            find_largest(own, largest);
        }
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            const StateCells state = states[s].template typed<kStateType>();
            if (!present.state(s)) {
                continue;
            }
            if (state.has_blocks()) {
                block.largest[s] = larger_magnitude(block.largest[s], largest[s]);
            } else {
                own_source.theta.rounding.store_state(state.cells, s, i, own[s], random);
            }
        }
    }

    // The largest magnitude of each state. Returns whether all are finite.
    template <class Values>
    __device__ bool find_largest(const Values (&own)[kRoom], float (&largest)[kRoom]) const {
        float of_all = 0.0f;
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            largest[s] = fabsf(own[s].v[0]);
#pragma unroll
            for (int k = 1; k < Values::kCount; ++k) {
                largest[s] = larger_magnitude(largest[s], own[s].v[k]);
            }
            of_all = present.state(s) ? larger_magnitude(of_all, largest[s]) : of_all;
        }
        return is_finite(of_all);
    }

    // As dynamic8.h says at is_finite.
    template <class Values>
    __device__ void restart(Values (&own)[kRoom]) const {
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            bool finite = true;
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                finite = finite && (!present.state(s) || is_finite(own[s].v[k]));
            }
#pragma unroll
            for (int s = 0; s < Shape::kStates; ++s) {
                own[s].v[k] = finite ? own[s].v[k] : 0.0f;
            }
        }
    }

    // Updates single elements or packs of a block of any types, `place` of it. States of DYNAMIC8 go to `block` until
    // the scales are known.
    template <class Values>
    __device__ void update_some(int first, int place, Block& block) const {
        Fetched<Values> fetched = {};
        fetch<Values, kAnyType, kAnyType>(first + place, fetched);
        Values own[kRoom];
        update<Values, kAnyType, kAnyType>(first + place, fetched, block, own);
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s) && states[s].has_blocks()) {
                *reinterpret_cast<Access<Values::kCount>*>(block.states.value[s] + place) = words_of_floats(own[s]);
            }
        }
    }

    static constexpr int kThreadPacks = kBlock / (kPack * kWarpThreads);
    static_assert(kThreadPacks * kPack * kWarpThreads == kBlock, "all threads of a warp have as many packs of a block");

    // Where a thread's packs of a whole block are in it.
    __device__ static int place_of(int pack) { return kPack * (pack * kWarpThreads + lane_of_warp()); }

    // Updates a whole block whose states are all of DYNAMIC8, by code that is compiled for the type of the parameters.
    template <int kParams>
    __device__ void update_whole(int first, Block& block, Pack (&own)[kThreadPacks][kRoom]) const {
        Fetched<Pack> fetched[kThreadPacks] = {};
#pragma unroll
        for (int n = 0; n < kThreadPacks; ++n) {
            fetch<Pack, kParams, NOPT_DTYPE_DYNAMIC8>(first + place_of(n), fetched[n]);
        }
        __syncwarp();  // nothing orders, but the assembler issues all of the loads before it waits for one
#pragma unroll
        for (int n = 0; n < kThreadPacks; ++n) {
            update<Pack, kParams, NOPT_DTYPE_DYNAMIC8>(first + place_of(n), fetched[n], block, own[n]);
        }
    }

    // Makes the states of a thread's packs of a whole block the dividends of their codes.
    __device__ static void scale_whole(int s, const Divisor& divisor, Pack (&own)[kThreadPacks][kRoom]) {
        if (divisor.unit != 1.0f) {
            __syncwarp();  // nothing orders, but the assembler makes a branch of it, which most blocks take
#pragma unroll
            for (int n = 0; n < kThreadPacks; ++n) {
#pragma unroll
                for (int k = 0; k < kPack; ++k) {
                    own[n][s].v[k] *= divisor.unit;
                }
            }
        }
    }

    // Stores the codes of some elements of state `s`, which are dividends already.
    template <class Values>
    __device__ static void encode(int s, const Values& values, const Block& block, unsigned char* codes,
                                  const Divisor& divisor) {
        store_codes<Values::kCount>(codes, is_signed(s) ? codes_of(block.tables.with_sign, values.v, divisor)
                                                        : codes_of(block.tables.without_sign, values.v, divisor));
    }
    // The same of those that lie in shared memory, from `place` of the block on.
    template <class Values>
    __device__ static void encode_some(int s, int place, const Block& block, unsigned char* codes,
                                       const Divisor& divisor) {
        using Own = Access<Values::kCount>;
        const Own own = *reinterpret_cast<const Own*>(block.states.value[s] + place);
        Values values = floats_of_words<Values>(own.word);
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            values.v[k] *= divisor.unit;
        }
        encode(s, values, block, codes + place, divisor);
    }

    // Calls encode_state(s, codes of the block, divisor) for all states of DYNAMIC8, and stores their new scales.
    template <int kStateType, class EncodeState>
    __device__ void encode_states(int first, const Block& block, const EncodeState& encode_state) const {
        __syncwarp();  // all have read the scales
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (!present.state(s) || !states[s].template typed<kStateType>().has_blocks()) {
                continue;
            }
            const float scale = largest_of_warp(block.largest[s]);
            encode_state(s, states[s].codes(first), Divisor(divisor_of(scale)));
            if (lane_of_warp() == 0) {
                store_words<1>(states[s].block(first), {{bits_of(scale)}});
            }
        }
    }

    // Updates the block that begins with element `first` of the piece. `wide`: all buffers allow wide accesses.
    __device__ void update_block(int first, int count, bool wide, const DynamicTables& tables,
                                 RandomRoom<kRandomUses>& random, BlockStates& room) const {
        Block block = {tables, random, room, {}, {}};
#pragma unroll
        for (int s = 0; s < Shape::kStates; ++s) {
            if (present.state(s) && states[s].has_blocks()) {
                block.scale[s] = float_of(load_words<1>(states[s].block(first)).word[0]);
            }
        }
        if constexpr (Source::kIsTyped) {
            if (wide && count == kBlock && params != kAnyType) {
                Pack own[kThreadPacks][kRoom];
                if (params == NOPT_DTYPE_FLOAT32) {
                    update_whole<NOPT_DTYPE_FLOAT32>(first, block, own);
                } else {
                    update_whole<kHalfType>(first, block, own);
                }
                encode_states<NOPT_DTYPE_DYNAMIC8>(first, block,
                                                   [&](int s, unsigned char* codes, const Divisor& divisor) {
                                                       scale_whole(s, divisor, own);
#pragma unroll
                                                       for (int n = 0; n < kThreadPacks; ++n) {
                                                           encode(s, own[n][s], block, codes + place_of(n), divisor);
                                                       }
                                                   });
                return;
            }
        }
        const Packs packs(count, 0, wide);
        packs.for_each_single([&](int i) { update_some<Single>(first, i, block); });
        packs.for_each_pack([&](int i) { update_some<Pack>(first, i, block); });
        encode_states<kAnyType>(first, block, [&](int s, unsigned char* codes, const Divisor& divisor) {
            packs.for_each_single([&](int i) { encode_some<Single>(s, i, block, codes, divisor); });
            packs.for_each_pack([&](int i) { encode_some<Pack>(s, i, block, codes, divisor); });
        });
        __syncwarp();  // all have read the states
    }
};

template <class Rule, int kVariant, class Source>
__device__ inline void update_blocks(const UpdateTable& table, const typename Source::Table& dimer,
                                     const CohortScalars& cohorts) {
    using Elements = BlockwiseUpdate<Rule, kVariant, Source>;
    __shared__ DynamicTables tables;
    __shared__ SharedByWarps<Elements> shared;
    __shared__ RandomRoom<Elements::kRandomUses> random;
    __shared__ typename Elements::BlockStates rooms[kPassWarps];
    static_assert(sizeof tables + sizeof shared + sizeof random + sizeof rooms <= 48 * 1024,
                  "a block has so much shared memory; NOPT_TUNE_PASS_THREADS has to be smaller");
    if (table.skip != nullptr && *table.skip != 0) {
        return;
    }
    tables.fill();
    __syncthreads();
    for_each_piece(table.set, [&](const Piece& piece) {
        if (table.grad[piece.tensor] == nullptr) {
            return;  // frozen
        }
        const Elements& elements = shared.make(table, dimer, cohorts, piece);
        const bool wide = elements.is_aligned();
#pragma unroll 1
        for (int first = 0; first < piece.count; first += kBlock) {
            const int left = piece.count - first;
            elements.update_block(first, left < kBlock ? left : kBlock, wide, tables, random, rooms[warp_of_block()]);
        }
    });
}

// Updates elements of any type.
template <class Rule, int kVariant>
__global__ void __launch_bounds__(kPassThreads, 1)
    blockwise_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ CohortScalars cohorts) {
    update_blocks<Rule, kVariant, PlainSource<true>>(table, {}, cohorts);
}

// The same with a dimer.
template <class Rule>
__global__ void __launch_bounds__(kPassThreads, 1)
    blockwise_dimer_update_kernel(const __grid_constant__ UpdateTable table, const __grid_constant__ DimerTable dimer,
                                  const __grid_constant__ CohortScalars cohorts) {
    update_blocks<Rule, kAnyVariant, DimerSource<true>>(table, dimer, cohorts);
}

}  // namespace nopt
