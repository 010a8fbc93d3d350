// Theta, as the passes over elements find it and leave it: in PARAM, in a float32 copy beside it, or in PARAM with the
// bits that it lacks.
#pragma once

#include <stdint.h>

#include "cuda/cells.cuh"

namespace nopt {

// All in device memory, passed by value.
struct ThetaTable {
    TypeTable types;
    RoleTable param;
    // Of 16-bit parameters. An address may be null.
    RoleTable master;
    RoleTable remainder;
    // Of stochastic rounding.
    int32_t stochastic;
    uint64_t rounding_seed;
};

// Where a step finds theta and where it leaves it.
template <bool kMixed>
struct Theta;

template <>
struct Theta<false> {
    Cells<false> source;
    Cells<false> param;

    __device__ Theta(const ThetaTable& table, RoleTable from, const Piece& piece)
        : source(from, nullptr, NOPT_ROLE_PARAM, piece), param(table.param, nullptr, NOPT_ROLE_PARAM, piece) {}

    __device__ void set_step(uint32_t) {}

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
    bool stochastic;
    uint64_t seed;
    uint32_t step;  // of the tensor, where steps round stochastically
    int tensor;
    int64_t begin;

    __device__ Theta(const ThetaTable& table, RoleTable from, const Piece& piece)
        : source(from, table.types, NOPT_ROLE_PARAM, piece),
          param(table.param, table.types, NOPT_ROLE_PARAM, piece),
          beside(optional_cells<true>(table.master, table.types, NOPT_ROLE_MASTER_PARAM, piece)),
          stochastic(table.stochastic != 0),
          seed(table.rounding_seed),
          step(0),
          tensor(piece.tensor),
          begin(piece.begin) {
        if (beside.at == nullptr) {
            beside = optional_cells<true>(table.remainder, table.types, NOPT_ROLE_PARAM_REMAINDER, piece);
        }
    }

    // Stochastic rounding draws by the tensor's step.
    __device__ void set_step(uint32_t tensor_step) { step = tensor_step; }

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
        if (param.dtype != NOPT_DTYPE_BFLOAT16 || !(beside.at != nullptr || stochastic)) {
            param.store<Values>(i, values);
            return;
        }
        Halves<Values::kCount> rounded;
        Philox bits = {};
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            if (beside.at != nullptr) {
                rounded.v[k] = to_bfloat16_away(values.v[k]);
                continue;
            }
            const uint64_t element = static_cast<uint64_t>(begin + i + k);
            if (k == 0 || element % kRandomsPerBlock == 0) {
                bits = rounding_bits(seed, step, static_cast<uint32_t>(tensor), element / kRandomsPerBlock);
            }
            rounded.v[k] = to_bfloat16_stochastic(values.v[k],
                                                  rounding_bits_of(bits, static_cast<int>(element % kRandomsPerBlock)));
        }
        param.store_halves(i, rounded);
    }
};

}  // namespace nopt
