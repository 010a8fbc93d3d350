// Elements of 16 bits and how they become float32 and back: by integers and exact float arithmetic, so that the host
// and the device have the same bits. (Of NaNs, that they are one.)
#pragma once

#include <stdint.h>
#include <string.h>

#include "numerics/philox.h"
#include "rules/rule.h"

namespace nopt {

NOPT_HD uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

NOPT_HD float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---- bfloat16: the upper half of a float32 ----

NOPT_HD float from_bfloat16(uint16_t value) { return float_of(uint32_t{value} << 16); }

NOPT_HD bool is_nan_bits(uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

// A quiet NaN; rounding one could carry it away.
NOPT_HD uint32_t bfloat16_nan(uint32_t bits) { return bits >> 16 | 0x40u; }

// To nearest, ties to even.
NOPT_HD uint16_t to_bfloat16(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return static_cast<uint16_t>(is_nan_bits(bits) ? bfloat16_nan(bits) : rounded);
}

// Up with the probability that makes it right on average; `random` is uniform in 16 bits. (Croci et al. 2022.)
NOPT_HD uint16_t to_bfloat16_stochastic(float value, uint32_t random) {
    const uint32_t bits = bits_of(value);
    return static_cast<uint16_t>(is_nan_bits(bits) ? bfloat16_nan(bits) : (bits + random) >> 16);
}

// To nearest, ties away from zero: then the 16 bits that are lost tell which way it went, and with them (the remainder)
// the float32 is there again. (With ties to even 65,537 floats would share a bfloat16.)
NOPT_HD uint16_t to_bfloat16_away(float value) {
    const uint32_t bits = bits_of(value);
    return static_cast<uint16_t>(is_nan_bits(bits) ? bfloat16_nan(bits) : (bits + 0x8000u) >> 16);
}

NOPT_HD uint16_t remainder_of(float value) { return static_cast<uint16_t>(bits_of(value)); }

NOPT_HD float join_bfloat16(uint16_t value, uint16_t remainder) {
    return float_of(((uint32_t{value} - (uint32_t{remainder} >> 15)) << 16) | remainder);
}

// ---- float16: IEEE 754 binary16 ----

NOPT_HD float from_float16(uint16_t value) {
    const uint32_t sign = (value & 0x8000u) << 16;
    const uint32_t magnitude = (value & 0x7fffu) << 13;
    // The exponent is off by 112. Subnormal ones get a leading 1 that is taken away again, exactly.
    const float normal = float_of(magnitude + (112u << 23));
    const float subnormal = float_of(magnitude + (113u << 23)) - float_of(113u << 23);
    const float special = float_of(magnitude + (224u << 23));
    const float result = magnitude >= (31u << 23) ? special : magnitude < (1u << 23) ? subnormal : normal;
    return float_of(bits_of(result) | sign);
}

// To nearest, ties to even; beyond the largest, infinity.
NOPT_HD uint16_t to_float16(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    // Beside 0.5, what is left of a float is a multiple of the smallest float16.
    const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    const uint32_t result = magnitude >= (143u << 23) ? special : magnitude < (113u << 23) ? subnormal : normal;
    return static_cast<uint16_t>(result | (bits >> 16 & 0x8000u));
}

// ---- elements of any type ----

// What each element type is made of; the one table of them.
struct DTypeInfo {
    nopt_dtype dtype;
    const char* name;
    int element_bytes;
    int alignment;          // of a buffer
    int block_elements;     // 1: each element stands for itself
    int block_extra_bytes;  // beside the elements of a block: its scale
};

constexpr DTypeInfo kDTypes[] = {{NOPT_DTYPE_FLOAT32, "float32", 4, 4, 1, 0},
                                 {NOPT_DTYPE_BFLOAT16, "bfloat16", 2, 2, 1, 0},
                                 {NOPT_DTYPE_FLOAT16, "float16", 2, 2, 1, 0},
                                 {NOPT_DTYPE_DYNAMIC8, "dynamic8", 1, 4, 256, 4}};
constexpr int kDTypeCount = static_cast<int>(sizeof kDTypes / sizeof kDTypes[0]);
constexpr int kDTypeSlots = kDTypeCount + 1;  // of tables that a nopt_dtype is the index of

constexpr bool is_dtype(int dtype) { return dtype >= 1 && dtype <= kDTypeCount; }
constexpr const DTypeInfo& dtype_info(int dtype) { return kDTypes[dtype - 1]; }

constexpr bool dtypes_are_in_order() {
    for (int i = 0; i < kDTypeCount; ++i) {
        if (kDTypes[i].dtype != i + 1) {
            return false;
        }
    }
    return true;
}
static_assert(dtypes_are_in_order(), "dtype_info() finds a type by its value");
static_assert(kDTypeSlots <= 32, "sets of types are bits of 32");

// The bytes of a buffer of `count` elements, and where element `begin`, the first of a block, lies in it.
constexpr int64_t buffer_bytes(int dtype, int64_t count) {
    const DTypeInfo& info = dtype_info(dtype);
    return count * info.element_bytes +
           (count + info.block_elements - 1) / info.block_elements * info.block_extra_bytes;
}

// The types whose elements stand for themselves; kernels ask with the type in a register, so this is no table.
NOPT_HD constexpr int64_t bytes_of(int32_t dtype) { return dtype == NOPT_DTYPE_FLOAT32 ? 4 : 2; }

NOPT_HD float from_half(int32_t dtype, uint16_t value) {
    return dtype == NOPT_DTYPE_BFLOAT16 ? from_bfloat16(value) : from_float16(value);
}

NOPT_HD uint16_t to_half(int32_t dtype, float value) {
    return dtype == NOPT_DTYPE_BFLOAT16 ? to_bfloat16(value) : to_float16(value);
}

// A new type has to be told apart in the three functions above, and in every `dtype` branch of the kernels.
constexpr bool elements_are_known() {
    for (const DTypeInfo& info : kDTypes) {
        const bool is_16_bits = info.dtype == NOPT_DTYPE_BFLOAT16 || info.dtype == NOPT_DTYPE_FLOAT16;
        const bool stands_alone = info.dtype == NOPT_DTYPE_FLOAT32 || is_16_bits;
        if (stands_alone ? bytes_of(info.dtype) != info.element_bytes : info.dtype != NOPT_DTYPE_DYNAMIC8) {
            return false;
        }
    }
    return true;
}
static_assert(elements_are_known(), "bytes_of, from_half and to_half know every type");

// ---- the numbers of stochastic rounding ----

constexpr int kRandomsPerBlock = 8;  // elements that share a block of random bits

// For eight elements of a tensor in a row, from 8 block on, in the tensor's step `step`. The upper byte of a word tells
// what is rounded: `use` is kRandomRounding, or kRandomStates + i.
NOPT_HD Philox rounding_counter(uint32_t use, uint32_t step, uint32_t tensor, uint64_t block) {
    return {{static_cast<uint32_t>(block), (static_cast<uint32_t>(block >> 32) & 0xffffffu) | use << 24, tensor, step}};
}

NOPT_HD Philox rounding_bits(uint64_t seed, uint32_t use, uint32_t step, uint32_t tensor, uint64_t block) {
    return philox(rounding_counter(use, step, tensor, block), static_cast<uint32_t>(seed),
                  static_cast<uint32_t>(seed >> 32));
}

// The 16 bits of element k of the eight. (No index into the words: on the device that would take local memory.)
NOPT_HD uint32_t rounding_bits_of(const Philox& bits, int k) {
    const uint32_t first = (k & 2) == 0 ? bits.word[0] : bits.word[1];
    const uint32_t second = (k & 2) == 0 ? bits.word[2] : bits.word[3];
    return ((k & 4) == 0 ? first : second) >> (k % 2 * 16) & 0xffffu;
}

}  // namespace nopt
