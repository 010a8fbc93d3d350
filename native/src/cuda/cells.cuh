// Buffers of any element type, as the kernels read and write them.
#pragma once

#include <stdint.h>

#include "backend/roles.h"
#include "cuda/pieces.cuh"
#include "numerics/dtypes.h"

namespace nopt {

template <class Values>
__device__ inline const Values& values_at(const float* buffer, int i) {
    return *reinterpret_cast<const Values*>(buffer + i);
}

template <class Values>
__device__ inline Values& values_at(float* buffer, int i) {
    return *reinterpret_cast<Values*>(buffer + i);
}

// Elements of 16 bits that move in one access.
template <int Count>
struct alignas(2 * Count) Halves {
    uint16_t v[Count];
};

// A role's buffers, per tensor, in device memory; null if the role is not bound.
using RoleTable = const void* const*;

// The element types of all tensors, kRoleSlots for each, in device memory. Null: all are float32.
using TypeTable = const uint8_t*;
static_assert(kDTypeSlots <= 256, "an entry of a TypeTable is a byte");

__device__ inline int dtype_of(TypeTable types, int tensor, nopt_role role) {
    return types[int64_t{tensor} * kRoleSlots + static_cast<int>(role)];
}

// A role's elements from the begin of a piece on, as floats. `kMixed`: of any type whose elements stand for themselves,
// which is the same for the whole piece; else all are float32, and no instruction asks.
template <bool kMixed>
struct Cells;

template <>
struct Cells<false> {
    float* at;

    __device__ Cells() : at(nullptr) {}
    __device__ Cells(RoleTable table, TypeTable, nopt_role, const Piece& piece)
        : at(static_cast<float*>(const_cast<void*>(table[piece.tensor])) + piece.begin) {}

    template <class Values>
    __device__ Values load(int i) const {
        return values_at<Values>(at, i);
    }
    template <class Values>
    __device__ void store(int i, const Values& values) const {
        values_at<Values>(at, i) = values;
    }
    // Of the same type, bit for bit.
    template <class Values>
    __device__ void copy(int i, const Cells& from) const {
        store(i, from.load<Values>(i));
    }
    // The position within a wide access, in elements.
    template <class Wide>
    __device__ int misalignment() const {
        return static_cast<int>(reinterpret_cast<uintptr_t>(at) / sizeof(float) % Wide::kCount);
    }
};

template <>
struct Cells<true> {
    void* at;
    int dtype;

    __device__ Cells() : at(nullptr), dtype(NOPT_DTYPE_FLOAT32) {}
    __device__ Cells(RoleTable table, TypeTable types, nopt_role role, const Piece& piece)
        : at(const_cast<void*>(table[piece.tensor])), dtype(dtype_of(types, piece.tensor, role)) {
        at = static_cast<char*>(at) + piece.begin * bytes_of(dtype);
    }

    template <class Values>
    __device__ Halves<Values::kCount> load_halves(int i) const {
        return *reinterpret_cast<const Halves<Values::kCount>*>(static_cast<const uint16_t*>(at) + i);
    }
    template <int Count>
    __device__ void store_halves(int i, const Halves<Count>& values) const {
        *reinterpret_cast<Halves<Count>*>(static_cast<uint16_t*>(at) + i) = values;
    }

    template <class Values>
    __device__ Values load(int i) const {
        if (dtype == NOPT_DTYPE_FLOAT32) {
            return values_at<Values>(static_cast<const float*>(at), i);
        }
        const Halves<Values::kCount> halves = load_halves<Values>(i);
        Values values;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            values.v[k] = from_half(dtype, halves.v[k]);
        }
        return values;
    }
    template <class Values>
    __device__ void store(int i, const Values& values) const {
        if (dtype == NOPT_DTYPE_FLOAT32) {
            values_at<Values>(static_cast<float*>(at), i) = values;
            return;
        }
        Halves<Values::kCount> halves;
#pragma unroll
        for (int k = 0; k < Values::kCount; ++k) {
            halves.v[k] = to_half(dtype, values.v[k]);
        }
        store_halves(i, halves);
    }
    template <class Values>
    __device__ void copy(int i, const Cells& from) const {
        if (dtype == NOPT_DTYPE_FLOAT32) {
            store(i, from.load<Values>(i));
        } else {
            store_halves(i, from.load_halves<Values>(i));
        }
    }
    template <class Wide>
    __device__ int misalignment() const {
        return static_cast<int>(reinterpret_cast<uintptr_t>(at) / static_cast<uintptr_t>(bytes_of(dtype)) %
                                Wide::kCount);
    }
};

// Makes the Cells of a role that may not be bound, or have no buffer for the tensor; then `at` is null.
template <bool kMixed>
__device__ inline Cells<kMixed> optional_cells(RoleTable table, TypeTable types, nopt_role role, const Piece& piece) {
    return table == nullptr || table[piece.tensor] == nullptr ? Cells<kMixed>()
                                                              : Cells<kMixed>(table, types, role, piece);
}

}  // namespace nopt
