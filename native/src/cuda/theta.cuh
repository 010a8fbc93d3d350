// Theta, as the passes over elements find it and leave it: in PARAM, in a float32 copy beside it, or in PARAM with the
// bits that it lacks.
#pragma once

#include <stdint.h>

#include "cuda/pieces.cuh"
#include "cuda/scalars.cuh"

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
    int64_t host_step;              // the step, unless the device counts
    const DeviceStep* device_step;  // ... which has counted it already
};

// Where a step finds theta and where it leaves it.
template <bool kHalves>
struct Theta;

template <>
struct Theta<false> {
    Cells<false> source;
    Cells<false> param;

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
    Cells<true> master;
    Cells<true> remainder;
    bool stochastic;
    uint64_t seed;
    uint64_t step;
    int tensor;
    int64_t begin;

    __device__ Theta(const ThetaTable& table, RoleTable from, const Piece& piece)
        : source(from, table.types, NOPT_ROLE_PARAM, piece),
          param(table.param, table.types, NOPT_ROLE_PARAM, piece),
          stochastic(table.stochastic != 0),
          seed(table.rounding_seed),
          step(static_cast<uint64_t>(table.device_step != nullptr ? table.device_step->state.step : table.host_step)),
          tensor(piece.tensor),
          begin(piece.begin) {
        if (table.master != nullptr) {
            master = Cells<true>(table.master, table.types, NOPT_ROLE_MASTER_PARAM, piece);
        }
        if (table.remainder != nullptr) {
            remainder = Cells<true>(table.remainder, table.types, NOPT_ROLE_PARAM_REMAINDER, piece);
        }
    }

    template <class Wide>
    __device__ int offset() const {
        return param.misalignment<Wide>();
    }
    template <class Wide>
    __device__ bool aligned_like(int off) const {
        return source.misalignment<Wide>() == off && (master.at == nullptr || master.misalignment<Wide>() == off) &&
               (remainder.at == nullptr || remainder.misalignment<Wide>() == off);
    }

    template <class Values>
    __device__ Values load(int i) const {
        if (master.at != nullptr) {
            return values_at<Values>(static_cast<const float*>(master.at), i);
        }
        if (remainder.at == nullptr) {
            return source.load<Values>(i);
        }
        const Halves<Values::kCount> upper = source.load_halves<Values>(i);
        const Halves<Values::kCount> lower = remainder.load_halves<Values>(i);
        Values values;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            values.v[k] = join_bfloat16(upper.v[k], lower.v[k]);
        }
        return values;
    }

    template <class Values>
    __device__ void store(int i, const Values& values) const {
        if (master.at != nullptr) {
            values_at<Values>(static_cast<float*>(master.at), i) = values;
        }
        if (remainder.at != nullptr) {
            Halves<Values::kCount> lower;
#pragma unroll
            for (int k = 0; k < Values::kCount; ++k) {
                lower.v[k] = remainder_of(values.v[k]);
            }
            remainder.store_halves(i, lower);
        }
        const bool has_more = master.at != nullptr || remainder.at != nullptr;
        if (param.dtype != NOPT_DTYPE_BFLOAT16 || !(has_more || stochastic)) {
            param.store<Values>(i, values);
            return;
        }
        Halves<Values::kCount> rounded;
        Philox bits = {};
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            if (has_more) {
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
