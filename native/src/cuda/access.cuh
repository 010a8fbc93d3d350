// How the kernels read and write the elements of a set: by words, as global memory, which a compiler cannot know of an
// address that comes from a table.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/tuning.h"

namespace nopt {

// What moves in one access.
template <int Words>
struct alignas(4 * Words) Access {
    uint32_t word[Words];
};

#if NOPT_TUNE_STREAMS
#define NOPT_GLOBAL(operation) #operation ".global.cs."
#else
#define NOPT_GLOBAL(operation) #operation ".global."
#endif

// (The intrinsics __ldca and __stwb are no weaker than volatile accesses.)
template <int Words>
__device__ inline Access<Words> load_words(const void* from) {
    Access<Words> to;
#ifdef __CUDA_ARCH__
    uint32_t* const w = to.word;
    if constexpr (Words == 4) {
        asm volatile(NOPT_GLOBAL(ld) "v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                     : "l"(from));
    } else if constexpr (Words == 2) {
        asm volatile(NOPT_GLOBAL(ld) "v2.u32 {%0, %1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(from));
    } else {
        asm volatile(NOPT_GLOBAL(ld) "u32 %0, [%1];" : "=r"(w[0]) : "l"(from));
    }
#else
    to = *static_cast<const Access<Words>*>(from);
#endif
    return to;
}

template <int Words>
__device__ inline void store_words(void* to, const Access<Words>& value) {
#ifdef __CUDA_ARCH__
    const uint32_t* const w = value.word;
    if constexpr (Words == 4) {
        asm volatile(NOPT_GLOBAL(st) "v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(w[0]), "r"(w[1]), "r"(w[2]),
                     "r"(w[3])
                     : "memory");
    } else if constexpr (Words == 2) {
        asm volatile(NOPT_GLOBAL(st) "v2.u32 [%0], {%1, %2};" ::"l"(to), "r"(w[0]), "r"(w[1]) : "memory");
    } else {
        asm volatile(NOPT_GLOBAL(st) "u32 [%0], %1;" ::"l"(to), "r"(w[0]) : "memory");
    }
#else
    *static_cast<Access<Words>*>(to) = value;
#endif
}

// Less than a word.
__device__ inline uint32_t load_part(const uint16_t* from) {
#ifdef __CUDA_ARCH__
    uint16_t value;
    asm volatile(NOPT_GLOBAL(ld) "u16 %0, [%1];" : "=h"(value) : "l"(from));
    return value;
#else
    return *from;
#endif
}

__device__ inline uint32_t load_part(const unsigned char* from) {
#ifdef __CUDA_ARCH__
    uint32_t value;
    asm volatile(NOPT_GLOBAL(ld) "u8 %0, [%1];" : "=r"(value) : "l"(from));
    return value;
#else
    return *from;
#endif
}

__device__ inline void store_part(uint16_t* to, uint32_t value) {
#ifdef __CUDA_ARCH__
    asm volatile(NOPT_GLOBAL(st) "u16 [%0], %1;" ::"l"(to), "h"(static_cast<uint16_t>(value)) : "memory");
#else
    *to = static_cast<uint16_t>(value);
#endif
}

__device__ inline void store_part(unsigned char* to, uint32_t value) {
#ifdef __CUDA_ARCH__
    asm volatile(NOPT_GLOBAL(st) "u8 [%0], %1;" ::"l"(to), "r"(value) : "memory");
#else
    *to = static_cast<unsigned char>(value);
#endif
}

#undef NOPT_GLOBAL

}  // namespace nopt
