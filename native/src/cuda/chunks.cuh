// How the kernels divide a set: chunks of tensors over blocks, elements of a chunk over threads, 16 bytes at a time.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/tuning.h"
#include "numerics/sums.h"

namespace nopt {

// A piece of a tensor: kChunkElements elements from `begin`, or as many as are left. 64 bits, since tensors may have
// more than 2^31 elements.
struct Chunk {
    int64_t begin;
    int32_t tensor;
    int32_t reserved;
};

// The set's own tables, in device memory; passed by value.
struct ChunkTable {
    const int64_t* counts;  // per tensor
    const Chunk* chunks;
    int64_t chunk_count;
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
__device__ inline const Values& values_at(const float* buffer, int64_t i) {
    return *reinterpret_cast<const Values*>(buffer + i);
}

template <class Values>
__device__ inline Values& values_at(float* buffer, int64_t i) {
    return *reinterpret_cast<Values*>(buffer + i);
}

// The position of an address within its 16 bytes, in elements.
__device__ inline int misalignment(const void* pointer) {
    return static_cast<int>(reinterpret_cast<uintptr_t>(pointer) / sizeof(float) % 4);
}

__device__ inline int count_of(const ChunkTable& set, const Chunk& chunk) {
    const int64_t left = set.counts[chunk.tensor] - chunk.begin;
    return static_cast<int>(left < kChunkElements ? left : kChunkElements);
}

// Calls body.operator()<Pack or Single>(i) for all elements of a chunk, over the threads of the block. `wide`: all
// buffers begin at the same place `off` within 16 bytes; then a few single elements lead to the wide accesses.
template <class Body>
__device__ inline void for_each_element(int count, int off, bool wide, Body& body) {
    const int lead = (4 - off) % 4;
    const int head = !wide || lead > count ? count : lead;
    const int wide_count = (count - head) / 4 * 4;
    for (int i = static_cast<int>(threadIdx.x); i < head; i += kThreadsPerBlock) {
        body.template operator()<Single>(i);
    }
    for (int i = 4 * static_cast<int>(threadIdx.x); i < wide_count; i += 4 * kThreadsPerBlock) {
        body.template operator()<Pack>(head + i);
    }
    for (int i = head + wide_count + static_cast<int>(threadIdx.x); i < count; i += kThreadsPerBlock) {
        body.template operator()<Single>(i);
    }
}

}  // namespace nopt
