// What a step stores, rounded to nearest, or up or down at random.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"

namespace nopt {

// What is rounded at random, of bfloat16 elements; passed by value.
struct RoundingTable {
    uint64_t seed;
    int32_t params;  // those without a master or a remainder
    int32_t states;
};

// The bits that a thread rounds with next, 16 for each element of a pack, and for each use: the parameters, and each
// state after them. In shared memory, so that they are drawn in one loop over the uses, before the elements have come.
template <int Uses>
struct RandomRoom {
    Access<2> bits[Uses][kPassThreads];
};
template <>
struct RandomRoom<0> {};

// A thread's own in a room.
struct RandomBits {
    const Access<2>* own;

    // Two elements in a word.
    __device__ Access<2> of(int use) const { return own[use * kPassThreads]; }
};

// Stores elements of a piece. `kMixed`: of any type that stands for itself; else all are float32.
template <bool kMixed>
struct Rounding;

template <>
struct Rounding<false> {
    __device__ void set_step(uint32_t) {}

    __device__ RandomBits draw(int, int, uint32_t, RandomRoom<0>&) const { return {nullptr}; }
    template <class Values>
    __device__ void store_state(const Cells<false>& state, int, int i, const Values& values, const RandomBits&) const {
        state.store(i, values);
    }
};

template <>
struct Rounding<true> {
    RoundingTable table;
    int64_t begin;
    int tensor;
    uint32_t step;  // of the tensor

    __device__ Rounding(const RoundingTable& table_, const Piece& piece)
        : table(table_), begin(piece.begin), tensor(piece.tensor), step(0) {}

    __device__ void set_step(uint32_t tensor_step) { step = tensor_step; }
    __device__ bool is_random() const { return table.params != 0 || table.states != 0; }

    // Draws for `count` elements from `i` on, and for the states that there are, by bit.
    template <int Uses>
    __device__ RandomBits draw(int i, int count, uint32_t states, RandomRoom<Uses>& room) const {
        Access<2>* const own = &room.bits[0][threadIdx.x];
        const uint32_t uses = (table.params != 0 ? 1u : 0u) | (table.states != 0 ? states << 1 : 0u);
        const uint64_t element = static_cast<uint64_t>(begin + i);
        const int place = static_cast<int>(element % kRandomsPerBlock);
        const bool is_half = place % kPack == 0;  // of a block, of which one element alone takes the first bits
#pragma unroll 1
        for (int use = 0; uses >> use != 0; ++use) {
            if ((uses >> use & 1u) == 0) {
                continue;
            }
            const uint32_t name = use == 0 ? kRandomRounding : kRandomStates + static_cast<uint32_t>(use - 1);
            uint64_t block = element / kRandomsPerBlock;
            uint32_t words[2] = {};
            // The elements lie in one block of random numbers or in two. `first` is the place of a block's first
            // number.
#pragma unroll 1
            for (int first = -place; first < count; first += kRandomsPerBlock) {
                const Philox bits = rounding_bits(table.seed, name, step, static_cast<uint32_t>(tensor), block++);
                if (is_half) {
                    words[0] = first == 0 ? bits.word[0] : bits.word[2];
                    words[1] = first == 0 ? bits.word[1] : bits.word[3];
                    break;
                }
#pragma unroll
                for (int k = 0; k < kPack; ++k) {
                    if (k >= first && k < first + kRandomsPerBlock) {
                        words[k / 2] |= rounding_bits_of(bits, k - first) << (k % 2 * 16);
                    }
                }
            }
            own[use * kPassThreads] = {{words[0], words[1]}};
        }
        return {own};
    }

    template <class Values>
    __device__ void store_param(const Cells<true>& param, int i, const Values& values, const RandomBits& random) const {
        store(param, i, values, table.params != 0, 0, random);
    }

    // State `s` of the rule.
    template <class Values>
    __device__ void store_state(const Cells<true>& state, int s, int i, const Values& values,
                                const RandomBits& random) const {
        store(state, i, values, table.states != 0, s + 1, random);
    }

private:
    template <class Values>
    __device__ static void store(const Cells<true>& cells, int i, const Values& values, bool at_random, int use,
                                 const RandomBits& random) {
        if (!at_random || cells.dtype != NOPT_DTYPE_BFLOAT16) {
            cells.store(i, values);
            return;
        }
        store_halves(cells.halves(i), to_bfloat16s_at_random(values.v, random.of(use).word));
    }
};

}  // namespace nopt
