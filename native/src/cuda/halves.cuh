// Packs of elements of 16 bits, two in a word, the first in the lower half, and how they become floats and back: by the
// device's own conversions where it has them, whose bits are those of numerics/dtypes.h (but which NaN a NaN becomes).
#pragma once

#include <stdint.h>

#include "cuda/access.cuh"
#include "cuda/pieces.cuh"
#include "numerics/dtypes.h"

namespace nopt {

// A single element lies in the lower half of a word.
template <int Count>
struct Halves {
    static constexpr int kWords = (Count + 1) / 2;

    uint32_t word[kWords];
};

template <int Count>
__device__ inline void load_halves(const uint16_t* from, uint32_t* words) {
    if constexpr (Count == 1) {
        words[0] = load_part(from);
    } else {
        const Access<Count / 2> loaded = load_words<Count / 2>(from);
#pragma unroll
        for (int w = 0; w < Count / 2; ++w) {
            words[w] = loaded.word[w];
        }
    }
}

template <int Count>
__device__ inline void store_halves(uint16_t* to, const Halves<Count>& halves) {
    if constexpr (Count == 1) {
        store_part(to, halves.word[0]);
    } else {
        Access<Count / 2> bits;
#pragma unroll
        for (int w = 0; w < Count / 2; ++w) {
            bits.word[w] = halves.word[w];
        }
        store_words(to, bits);
    }
}

__device__ inline uint16_t half_of(const uint32_t* words, int k) {
    return static_cast<uint16_t>(words[k / 2] >> (k % 2 * 16));
}

template <int Count>
__device__ inline void from_bfloat16s(const uint32_t* words, float (&values)[Count]) {
#pragma unroll
    for (int k = 0; k < Count; ++k) {
        values[k] = float_of(k % 2 == 0 ? words[k / 2] << 16 : words[k / 2] & 0xffff0000u);
    }
}

__device__ inline float from_float16_by_device(uint16_t value) {
#ifdef __CUDA_ARCH__
    float converted;
    asm("cvt.f32.f16 %0, %1;" : "=f"(converted) : "h"(value));
    return converted;
#else
    return from_float16(value);
#endif
}

template <int Count>
__device__ inline void from_float16s(const uint32_t* words, float (&values)[Count]) {
#pragma unroll
    for (int k = 0; k < Count; ++k) {
        values[k] = from_float16_by_device(half_of(words, k));
    }
}

__device__ inline uint32_t bfloat16_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#else
    return to_bfloat16(first) | uint32_t{to_bfloat16(second)} << 16;
#endif
}

__device__ inline uint32_t float16_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#else
    return to_float16(first) | uint32_t{to_float16(second)} << 16;
#endif
}

// Makes halves of `of_pair(first, second)`, which gives the 16 bits of both.
template <int Count, class OfPair>
__device__ inline Halves<Count> halves_of_pairs(const float (&values)[Count], const OfPair& of_pair) {
    Halves<Count> halves;
#pragma unroll
    for (int w = 0; w < Halves<Count>::kWords; ++w) {
        halves.word[w] = of_pair(values[2 * w], Count == 1 ? 0.0f : values[(2 * w + 1) % Count]);
    }
    return halves;
}

template <int Count>
__device__ inline Halves<Count> to_bfloat16s(const float (&values)[Count]) {
    return halves_of_pairs(values, [](float first, float second) { return bfloat16_pair(first, second); });
}

template <int Count>
__device__ inline Halves<Count> to_float16s(const float (&values)[Count]) {
    return halves_of_pairs(values, [](float first, float second) { return float16_pair(first, second); });
}

// The bits of a float before the lower half is cut off, up or down as to_bfloat16_stochastic says, but for a NaN, which
// becomes one and the same.
__device__ inline uint32_t rounded_at_random(float value, uint32_t random) {
    return value != value ? 0x7fffffffu : bits_of(value) + random;
}

// `random` has 16 bits for each element, two elements in a word.
template <int Count>
__device__ inline Halves<Count> to_bfloat16s_at_random(const float (&values)[Count], const uint32_t* random) {
    Halves<Count> halves;
#pragma unroll
    for (int w = 0; w < Halves<Count>::kWords; ++w) {
        const uint32_t first = rounded_at_random(values[2 * w], random[w] & 0xffffu);
        const uint32_t second = Count == 1 ? 0u : rounded_at_random(values[(2 * w + 1) % Count], random[w] >> 16);
#ifdef __CUDA_ARCH__
        halves.word[w] = __byte_perm(first, second, 0x7632);
#else
        halves.word[w] = first >> 16 | (second & 0xffff0000u);
#endif
    }
    return halves;
}

// Makes halves of `convert(k)`, which gives the 16 bits of element k.
template <int Count, class Convert>
__device__ inline Halves<Count> halves_of(const Convert& convert) {
    Halves<Count> halves;
#pragma unroll
    for (int w = 0; w < Halves<Count>::kWords; ++w) {
        halves.word[w] = convert(2 * w) | (Count == 1 ? 0u : uint32_t{convert((2 * w + 1) % Count)} << 16);
    }
    return halves;
}

}  // namespace nopt
