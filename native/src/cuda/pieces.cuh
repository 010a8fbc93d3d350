// How the kernels divide a set. Passes over elements: a warp for each piece of a tensor, 16 bytes at a time, so that no
// thread waits for another. Sums: see sums.cuh.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/tuning.h"

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

// Four floats that move in one 16-byte access, or one where alignment allows no more.
struct alignas(16) Pack {
    static constexpr int kCount = 4;
    float v[4];
};

struct Single {
    static constexpr int kCount = 1;
    float v[1];
};

template <class Values>
__device__ inline const Values& values_at(const float* buffer, int i) {
    return *reinterpret_cast<const Values*>(buffer + i);
}

template <class Values>
__device__ inline Values& values_at(float* buffer, int i) {
    return *reinterpret_cast<Values*>(buffer + i);
}

// The position of an address within its 16 bytes, in elements.
__device__ inline int misalignment(const void* pointer) {
    return static_cast<int>(reinterpret_cast<uintptr_t>(pointer) / sizeof(float) % 4);
}

__device__ inline int warp_of_block() { return static_cast<int>(threadIdx.x) / kWarpThreads; }
__device__ inline int lane_of_warp() { return static_cast<int>(threadIdx.x) % kWarpThreads; }

// Calls body(piece) for all pieces, over the warps of the grid.
template <class Body>
__device__ inline void for_each_piece(const PieceTable& table, Body&& body) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarpsPerBlock;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp_of_block(); i < table.count;
         i += stride) {
        body(table.pieces[i]);
    }
}

// Calls body.operator()<Pack or Single>(i) for all elements of a piece, over the threads of the warp. `wide`: all
// buffers begin at the same place `off` within 16 bytes; then a few single elements lead to the wide accesses.
template <class Body>
__device__ inline void for_each_element(int count, int off, bool wide, Body& body) {
    const int lane = lane_of_warp();
    const int lead = (4 - off) % 4;
    const int head = !wide || lead > count ? count : lead;
    const int wide_end = head + (count - head) / 4 * 4;
    // Not unrolled: that took 5 to 20 registers more (nvcc 11.8, sm_90) and hides nothing, since no load may pass a
    // store to another of the buffers.
#pragma unroll 1
    for (int i = lane; i < head; i += kWarpThreads) {
        body.template operator()<Single>(i);
    }
#pragma unroll 1
    for (int i = head + 4 * lane; i < wide_end; i += 4 * kWarpThreads) {
        body.template operator()<Pack>(i);
    }
#pragma unroll 1
    for (int i = wide_end + lane; i < count; i += kWarpThreads) {
        body.template operator()<Single>(i);
    }
}

}  // namespace nopt
