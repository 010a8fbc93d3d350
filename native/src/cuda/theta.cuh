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

    template <class Wide>
    __device__ int offset() const {
        return param.misalignment<Wide>();
    }
    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return source.misalignment<Wide>() == off;
    }
    template <class Values>
    __device__ Values load(int i) const {
        return source.load<Values>(i);
    }
    template <class Values>
    __device__ void store(int i, const Values& values) const {
        param.store<Values>(i, values);
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

    template <class Wide>
    __device__ int offset() const {
        return param.misalignment<Wide>();
    }
    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return source.misalignment<Wide>() == off && (beside.at == nullptr || beside.misalignment<Wide>() == off);
    }

    template <class Values>
    __device__ Values load(int i) const {
        if (has_master()) {
            return values_at<Values>(static_cast<const float*>(beside.at), i);
        }
        if (beside.at == nullptr) {
            return source.load<Values>(i);
        }
        const Halves<Values::kCount> upper = source.load_halves<Values>(i);
        const Halves<Values::kCount> lower = beside.load_halves<Values>(i);
        Values values;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            values.v[k] = join_bfloat16(upper.v[k], lower.v[k]);
        }
        return values;
    }

    template <class Values>
    __device__ void store(int i, const Values& values) const {
        if (has_master()) {
            values_at<Values>(static_cast<float*>(beside.at), i) = values;
        } else if (beside.at != nullptr) {
            Halves<Values::kCount> lower;
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                lower.v[k] = remainder_of(values.v[k]);
            }
            beside.store_halves(i, lower);
        }
        if (beside.at == nullptr || param.dtype != NOPT_DTYPE_BFLOAT16) {
            rounding.store_param(param, i, values);
            return;
        }
        Halves<Values::kCount> rounded;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            rounded.v[k] = to_bfloat16_away(values.v[k]);
        }
        param.store_halves(i, rounded);
    }
};

}  // namespace nopt
