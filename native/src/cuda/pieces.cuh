// How the kernels divide a set. Passes over elements: a warp for each piece of a tensor, 16 bytes at a time, so that no
// thread waits for another. Sums: see sums.cuh.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include <type_traits>

#include "cuda/tuning.h"
#include "numerics/dtypes.h"

namespace nopt {

// Some elements of a tensor, a warp's share. 64 bits, since tensors may have more than 2^31 elements.
struct Piece {
    int64_t begin;
    int32_t tensor;
    int32_t count;
};

// In device memory; passed by value.
struct PieceTable {
    const Piece* pieces;
    int64_t count;
};

// Floats that a thread handles at one time: as many as move in one 16-byte access, or one where alignment allows no
// more.
struct alignas(16) Pack {
    static constexpr int kCount = 4;
    float v[4];
};

// ... of elements of 16 bits.
struct alignas(16) Pack8 {
    static constexpr int kCount = 8;
    float v[8];
};

struct Single {
    static constexpr int kCount = 1;
    float v[1];
};

template <bool kHalves>
using WideOf = std::conditional_t<kHalves, Pack8, Pack>;

template <class Values>
__device__ inline const Values& values_at(const float* buffer, int i) {
    return *reinterpret_cast<const Values*>(buffer + i);
}

template <class Values>
__device__ inline Values& values_at(float* buffer, int i) {
    return *reinterpret_cast<Values*>(buffer + i);
}

// As many elements of 16 bits, which move in one access, too.
template <int Count>
struct alignas(2 * Count) Halves {
    uint16_t v[Count];
};

// A role's buffers, per tensor, in device memory; null if the role is not bound.
using RoleTable = const void* const*;

// The element types of all tensors: the lower two bits for each role, in device memory. Null: all are float32.
using TypeTable = const uint32_t*;

constexpr int kDynamic8 = NOPT_DTYPE_DYNAMIC8 & 3;  // in a TypeTable

__device__ inline int dtype_of(TypeTable types, int tensor, nopt_role role) {
    return static_cast<int>(types[tensor] >> (2 * static_cast<int>(role)) & 3u);
}

// A role's elements from the begin of a piece on, as floats. `kHalves`: of any type, which is the same for the whole
// piece; else all are float32, and no instruction asks.
template <bool kHalves>
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
        if (at != nullptr) {
            at = static_cast<char*>(at) + piece.begin * bytes_of(dtype);
        }
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

__device__ inline int warp_of_block() { return static_cast<int>(threadIdx.x) / kWarpThreads; }
__device__ inline int lane_of_warp() { return static_cast<int>(threadIdx.x) % kWarpThreads; }

// The tree over `Width` threads of a warp that are neighbours. Addition commutes, so all of them get the root's bits.
template <int Width>
__device__ inline double tree_of_threads(double value) {
#pragma unroll
    for (int distance = 1; distance < Width; distance *= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    return value;
}

// Calls body(piece) for all pieces, over the warps of the grid.
template <class Body>
__device__ inline void for_each_piece(const PieceTable& table, Body&& body) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarpsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp_of_block(); i < table.count;
         i += stride) {
        body(table.pieces[i]);
    }
}

// Calls body.operator()<Wide or Single>(i) for all elements of a piece, over the threads of the warp. `wide`: all
// buffers begin at the same place `off` within a wide access; then a few single elements lead to those.
template <class Wide, class Body>
__device__ inline void for_each_element(int count, int off, bool wide, Body& body) {
    constexpr int kWide = Wide::kCount;
    const int lane = lane_of_warp();
    const int lead = (kWide - off) % kWide;
    const int head = !wide || lead > count ? count : lead;
    const int wide_end = head + (count - head) / kWide * kWide;
    // Not unrolled: that took 5 to 20 registers more (nvcc 11.8, sm_90) and hides nothing, since no load may pass a
    // store to another of the buffers.
#pragma unroll 1
    for (int i = lane; i < head; i += kWarpThreads) {
        body.template operator()<Single>(i);
    }
#pragma unroll 1
    for (int i = head + kWide * lane; i < wide_end; i += kWide * kWarpThreads) {
        body.template operator()<Wide>(i);
    }
#pragma unroll 1
    for (int i = wide_end + lane; i < count; i += kWarpThreads) {
        body.template operator()<Single>(i);
    }
}

}  // namespace nopt
