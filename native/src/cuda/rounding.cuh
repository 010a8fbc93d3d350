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

// Stores elements of a piece. `kMixed`: of any type that stands for itself; else all are float32.
template <bool kMixed>
struct Rounding;

template <>
struct Rounding<false> {
    __device__ void set_step(uint32_t) {}

    template <class Values>
    __device__ void store_state(const Cells<false>& state, int, int i, const Values& values) const {
        state.store<Values>(i, values);
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

    template <class Values>
    __device__ void store_param(const Cells<true>& param, int i, const Values& values) const {
        store(param, i, values, table.params != 0, kRandomRounding);
    }

    // State `s` of the rule.
    template <class Values>
    __device__ void store_state(const Cells<true>& state, int s, int i, const Values& values) const {
        store(state, i, values, table.states != 0, kRandomStates + static_cast<uint32_t>(s));
    }

private:
    template <class Values>
    __device__ void store(const Cells<true>& cells, int i, const Values& values, bool at_random, uint32_t use) const {
        if (!at_random || cells.dtype != NOPT_DTYPE_BFLOAT16) {
            cells.store<Values>(i, values);
            return;
        }
        const uint64_t element = static_cast<uint64_t>(begin + i);
        Halves<Values::kCount> rounded = {};
        // The elements lie in one block of random numbers or in two. `first` is the place of a block's first number.
#pragma unroll 1
        for (int first = -static_cast<int>(element % kRandomsPerBlock); first < Values::kCount;
             first += kRandomsPerBlock) {
            const uint64_t block = static_cast<uint64_t>(begin + i + first) / kRandomsPerBlock;
            const Philox bits = rounding_bits(table.seed, use, step, static_cast<uint32_t>(tensor), block);
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                if (k >= first && k < first + kRandomsPerBlock) {
                    rounded.v[k] = to_bfloat16_stochastic(values.v[k], rounding_bits_of(bits, k - first));
                }
            }
        }
        cells.store_halves(i, rounded);
    }
};

}  // namespace nopt
