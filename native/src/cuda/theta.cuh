// Theta, as the passes over elements find it and leave it: in PARAM, in a float32 copy beside it, or in PARAM with the
// bits that it lacks.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"
#include "cuda/rounding.cuh"

namespace nopt {

// All in device memory, passed by value.
struct ThetaTable {
    TypeTable types;
    RoleTable param;
    // Of 16-bit parameters. An address may be null.
    RoleTable master;
    RoleTable remainder;
    RoundingTable rounding;
};

// Where a step finds theta and where it leaves it.
template <bool kMixed>
struct Theta;

template <>
struct Theta<false> {
    Cells<false> source;
    Cells<false> param;
    Rounding<false> rounding;

    __device__ Theta(const ThetaTable& table, RoleTable from, const Piece& piece)
        : source(from, nullptr, NOPT_ROLE_PARAM, piece), param(table.param, nullptr, NOPT_ROLE_PARAM, piece) {}

    __device__ int offset() const { return param.misalignment(); }
    __device__ bool aligned_like(int off) const { return source.misalignment() == off; }

    template <class Values>
    using Fetched = Values;

    template <class Values>
    __device__ Values fetch(int i) const {
        return source.fetch<Values>(i);
    }
    template <class Values>
    __device__ const Values& values(const Values& fetched) const {
        return fetched;
    }
    template <class Values>
    __device__ void store(int i, const Values& values, const RandomBits&) const {
        param.store(i, values);
    }
};

template <>
struct Theta<true> {
    Cells<true> source;
    Cells<true> param;
    Cells<true> beside;  // MASTER_PARAM, which is float32, or PARAM_REMAINDER, which has 16 bits; null: neither
    Rounding<true> rounding;

    __device__ Theta(const ThetaTable& table, RoleTable from, const Piece& piece)
        : source(from, table.types, NOPT_ROLE_PARAM, piece),
          param(table.param, table.types, NOPT_ROLE_PARAM, piece),
          beside(optional_cells<true>(table.master, table.types, NOPT_ROLE_MASTER_PARAM, piece)),
          rounding(table.rounding, piece) {
        if (beside.at == nullptr) {
            beside = optional_cells<true>(table.remainder, table.types, NOPT_ROLE_PARAM_REMAINDER, piece);
        }
    }

    __device__ bool has_master() const { return beside.at != nullptr && beside.dtype == NOPT_DTYPE_FLOAT32; }

    __device__ int offset() const { return param.misalignment(); }
    __device__ bool aligned_like(int off) const {
        return source.misalignment() == off && (beside.at == nullptr || beside.misalignment() == off);
    }

    template <class Values>
    using Fetched = Bits<Values>;

    template <class Values>
    __device__ Bits<Values> fetch(int i) const {
        if (has_master()) {
            return beside.fetch<Values>(i);
        }
        Bits<Values> bits = source.fetch<Values>(i);
        if (beside.at != nullptr) {
            load_halves<Values::kCount>(beside.halves(i), bits.word + Bits<Values>::kRemainders);
        }
        return bits;
    }
    template <class Values>
    __device__ Values values(const Bits<Values>& bits) const {
        if (beside.at == nullptr) {
            return source.values(bits);
        }
        if (has_master()) {
            return floats_of_words<Values>(bits.word);
        }
        Values values;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            values.v[k] = join_bfloat16(half_of(bits.word, k), half_of(bits.word + Bits<Values>::kRemainders, k));
        }
        return values;
    }

    template <class Values>
    __device__ void store(int i, const Values& values, const RandomBits& random) const {
        if (has_master()) {
            store_floats(beside.floats(i), values);
        } else if (beside.at != nullptr) {
            store_halves(beside.halves(i), halves_of<Values::kCount>([&](int k) { return remainder_of(values.v[k]); }));
        }
        if (beside.at == nullptr || param.dtype != NOPT_DTYPE_BFLOAT16) {
            rounding.store_param(param, i, values, random);
            return;
        }
        store_halves(param.halves(i), halves_of<Values::kCount>([&](int k) { return to_bfloat16_away(values.v[k]); }));
    }
};

}  // namespace nopt
