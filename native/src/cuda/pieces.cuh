// How the kernels divide a set. Passes over elements: a warp for each piece of a tensor, 16 bytes at a time, so that no
// thread waits for another. Sums: see sums.cuh.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include <new>

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

// Floats that a thread handles at one time: as many float32 as move in one access of 16 bytes, or one where alignment
// allows no more. (Elements of 16 bits move in 8 bytes. With 16 bytes for them a thread would have two accesses to
// float32 that is beside them, each of which would touch all sectors of 32 bytes and take half of each.)
constexpr int kPack = 4;

struct Pack {
    static constexpr int kCount = kPack;
    float v[kPack];
};

struct Single {
    static constexpr int kCount = 1;
    float v[1];
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

// Room for a T of each warp, in shared memory. There, what is the same for all threads of a warp takes no registers,
// and is read again where it is used: that took the update kernels of mixed types and those with a dimer from 64 to 158
// registers down to 40 to 98 (nvcc 11.8, sm_80 and sm_90, when a thread handled 8 elements at a time).
template <class T>
struct SharedByWarps {
    alignas(T) unsigned char room[kPassWarps][sizeof(T)];

    template <class... Arguments>
    __device__ const T& make(const Arguments&... arguments) {
        unsigned char* const own = room[warp_of_block()];
        __syncwarp();  // all have done with the one before
        if (lane_of_warp() == 0) {
            new (own) T(arguments...);
        }
        __syncwarp();
        return *reinterpret_cast<const T*>(own);
    }
};

// Calls body(piece) for all pieces, over the warps of the grid.
template <class Body>
__device__ inline void for_each_piece(const PieceTable& table, Body&& body) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kPassWarps;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kPassWarps + warp_of_block(); i < table.count; i += stride) {
        const Piece piece = table.pieces[i];
        body(piece);
    }
}

// A piece as packs, and the single elements before the first one and after the last one.
struct Packs {
    int count;  // of elements
    int head;   // where the packs begin
    int packed;

    // `wide`: all buffers begin at the same place `off` within a wide access. If not, there is no pack.
    __device__ Packs(int count_, int off, bool wide) : count(count_) {
        const int lead = (kPack - off) % kPack;
        head = !wide || lead > count ? count : lead;
        packed = static_cast<int>(static_cast<unsigned>(count - head) / kPack * kPack);
    }

    // Both call body(i), over the threads of the warp. They are not unrolled: that took 5 to 20 registers more (nvcc
    // 11.8, sm_90) and hides nothing, since no load may pass a store to another of the buffers.
    template <class Body>
    __device__ void for_each_single(const Body& body) const {
#pragma unroll 1
        for (int i = lane_of_warp(); i < count - packed; i += kWarpThreads) {
            body(i < head ? i : i + packed);
        }
    }
    template <class Body>
    __device__ void for_each_pack(const Body& body) const {
#pragma unroll 1
        for (int i = head + kPack * lane_of_warp(); i < head + packed; i += kPack * kWarpThreads) {
            body(i);
        }
    }
};

// Calls body.operator()<Pack or Single>(i) for all elements of a piece.
template <class Body>
__device__ inline void for_each_element(const Packs& packs, const Body& body) {
    packs.for_each_single([&](int i) { body.template operator()<Single>(i); });
    packs.for_each_pack([&](int i) { body.template operator()<Pack>(i); });
}

}  // namespace nopt
