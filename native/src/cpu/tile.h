// Tiles: a few elements of a tensor, converted to float32 where they are stored otherwise, while they stay in the first
// cache.
#pragma once

#include "backend/param_set.h"
#include "cpu/convert_kernels.h"
#include "cpu/dimer_kernels.h"
#include "cpu/mixed_kernels.h"

namespace nopt {

constexpr int64_t kTileElements = kPartElements;  // what mixed kernels ask to turn

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
            elements(set, NOPT_ROLE_GRAD_CHANGE, tensor, begin),
            count};
}

// Buffers of float32 are used in place, others are converted into rooms of the caller's. What is written is converted
// back. (Steps convert in registers; see mixed_kernels.cpp.)
class Tile {
public:
    Tile(const ParamSet& set, const ConvertKernels& convert, size_t tensor, int64_t begin, int64_t count)
        : set_(set), convert_(convert), tensor_(tensor), begin_(begin), count_(count) {}

    // The elements of a role; null if the tensor has none.
    float* read(nopt_role role, TileRoom& room) const {
        float* const values = written(role, room);
        if (values == room) {
            convert_.to_float[set_.dtype(role, tensor_)](half(role), count_, room);
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

    // Rounds to nearest.
    void write_back(nopt_role role, const float* values, const TileRoom& room) const {
        if (values == room) {
            convert_.from_float[set_.dtype(role, tensor_)](values, count_, half(role));
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

private:
    uint16_t* half(nopt_role role) const { return static_cast<uint16_t*>(set_.pointer(role, tensor_)) + begin_; }

    const ParamSet& set_;
    const ConvertKernels& convert_;
    const size_t tensor_;
    const int64_t begin_;
    const int64_t count_;
};

}  // namespace nopt
