// Tiles: a few elements of a tensor, converted to float32 where they are stored otherwise, while they stay in the first
// cache.
#pragma once

#include "backend/param_set.h"
#include "cpu/convert_kernels.h"
#include "cpu/dimer_kernels.h"
#include "numerics/dynamic8.h"
#include "numerics/sums.h"
#include "rules/rule.h"

namespace nopt {

constexpr int64_t kTileElements = 1024;
static_assert(kTileElements % kBlockwiseElements == 0 && kChunkElements % kTileElements == 0,
              "tiles hold whole blocks of DYNAMIC8, and chunks whole tiles");

using TileRoom = float[kTileElements];

// The elements from `begin` of a tensor's buffer of float32; null if the role is not bound.
inline float* elements(const ParamSet& set, nopt_role role, size_t tensor, int64_t begin) {
    const std::vector<void*>& pointers = set.pointers[role];
    return pointers.empty() ? nullptr : static_cast<float*>(pointers[tensor]) + begin;
}

inline DimerArgs dimer_args(const ParamSet& set, nopt_role grad, nopt_role displaced, size_t tensor, int64_t begin,
                            int64_t count) {
    return {elements(set, grad, tensor, begin),
            elements(set, displaced, tensor, begin),
            elements(set, NOPT_ROLE_DIRECTION, tensor, begin),
            elements(set, NOPT_ROLE_ROTATION_DIRECTION, tensor, begin),
            elements(set, NOPT_ROLE_PARAM, tensor, begin),
            elements(set, NOPT_ROLE_PARAM_BACKUP, tensor, begin),
            elements(set, NOPT_ROLE_GRAD_BACKUP, tensor, begin),
            count};
}

// Buffers of float32 are used in place, others are converted into rooms of the caller's. What is written is converted
// back.
class Tile {
public:
    Tile(const ParamSet& set, const ConvertKernels& convert, size_t tensor, int64_t begin, int64_t count)
        : set_(set), convert_(convert), tensor_(tensor), begin_(begin), count_(count) {}

    // The elements of a role that has no sign to be told of; null if the tensor has none.
    float* read(nopt_role role, TileRoom& room) const { return read_state(role, kSigned, room); }

    // The elements of a state; its sign decides the code of DYNAMIC8.
    float* read_state(nopt_role role, Sign sign, TileRoom& room) const {
        float* const values = written(role, room);
        if (values == room) {
            const nopt_dtype type = set_.dtype(role, tensor_);
            if (type == NOPT_DTYPE_DYNAMIC8) {
                convert_.from_blocks[sign](blocks(role), count_, room);
            } else {
                convert_.to_float[type](half(role), count_, room);
            }
        }
        return values;
    }

    // Where the role's elements are to be written, before write_back.
    float* written(nopt_role role, TileRoom& room) const {
        float* const buffer = static_cast<float*>(set_.pointer(role, tensor_));
        if (buffer == nullptr) {
            return nullptr;
        }
        return set_.dtype(role, tensor_) == NOPT_DTYPE_FLOAT32 ? buffer + begin_ : room;
    }

    // What has no sign to be told of, rounded to nearest.
    void write_back(nopt_role role, const float* values, const TileRoom& room) const {
        if (values == room) {
            convert_.from_float[set_.dtype(role, tensor_)](values, count_, half(role));
        }
    }

    // State `i` of the rule; `step` is the tensor's, for stochastic rounding.
    void write_back_state(int i, Sign sign, const float* values, const TileRoom& room, const StepInput& input,
                          uint32_t step) const {
        const nopt_role role = state_role(i);
        const nopt_dtype type = set_.dtype(role, tensor_);
        if (values == room && type == NOPT_DTYPE_DYNAMIC8) {
            convert_.to_blocks[sign](values, count_, blocks(role));
        } else if (values == room && type == NOPT_DTYPE_BFLOAT16 &&
                   (input.flags & NOPT_FLAG_STOCHASTIC_ROUNDING_STATES) != 0) {
            write_stochastic(role, kRandomStates + static_cast<uint32_t>(i), values, input, step);
        } else {
            write_back(role, values, room);
        }
    }

    // Theta; `source` is PARAM, or its backup where PARAM is displaced.
    float* read_theta(nopt_role source, TileRoom& room) const {
        if (set_.pointer(NOPT_ROLE_MASTER_PARAM, tensor_) != nullptr) {
            return elements(set_, NOPT_ROLE_MASTER_PARAM, tensor_, begin_);
        }
        if (set_.pointer(NOPT_ROLE_PARAM_REMAINDER, tensor_) != nullptr) {
            convert_.join(half(source), half(NOPT_ROLE_PARAM_REMAINDER), count_, room);
            return room;
        }
        return read(source, room);
    }

    // Where a step that began with `theta` leaves it, before write_back_theta.
    float* written_theta(float* theta, TileRoom& room) const {
        return set_.pointer(NOPT_ROLE_MASTER_PARAM, tensor_) != nullptr ? theta : written(NOPT_ROLE_PARAM, room);
    }

    // `step` is the tensor's, for stochastic rounding.
    void write_back_theta(const float* theta, const StepInput& input, uint32_t step) const {
        uint16_t* const param = half(NOPT_ROLE_PARAM);
        const nopt_dtype type = set_.dtype(NOPT_ROLE_PARAM, tensor_);
        if (type == NOPT_DTYPE_FLOAT32) {
            return;
        }
        if (set_.pointer(NOPT_ROLE_PARAM_REMAINDER, tensor_) != nullptr) {
            convert_.split(theta, count_, param, half(NOPT_ROLE_PARAM_REMAINDER));
        } else if (type != NOPT_DTYPE_BFLOAT16) {
            convert_.from_float[type](theta, count_, param);
        } else if (set_.pointer(NOPT_ROLE_MASTER_PARAM, tensor_) != nullptr) {
            convert_.from_master(theta, count_, param);
        } else if ((input.flags & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0) {
            write_stochastic(NOPT_ROLE_PARAM, kRandomRounding, theta, input, step);
        } else {
            convert_.from_float[type](theta, count_, param);
        }
    }

private:
    uint16_t* half(nopt_role role) const { return static_cast<uint16_t*>(set_.pointer(role, tensor_)) + begin_; }

    void write_stochastic(nopt_role role, uint32_t use, const float* values, const StepInput& input,
                          uint32_t step) const {
        convert_.from_float_stochastic(values, count_, input.rounding_seed, use, step, static_cast<uint32_t>(tensor_),
                                       begin_, half(role));
    }

    // Tiles begin where blocks do.
    unsigned char* blocks(nopt_role role) const {
        return static_cast<unsigned char*>(set_.pointer(role, tensor_)) + dynamic8_offset(begin_);
    }

    const ParamSet& set_;
    const ConvertKernels& convert_;
    const size_t tensor_;
    const int64_t begin_;
    const int64_t count_;
};

}  // namespace nopt
