// Packs: some elements of a buffer on their way through registers, as two vectors of floats. The even elements are in
// one of them and the odd ones in the other: then two neighbours of 16 bits are the two halves of a lane of 32 bits,
// and become floats, and halves again, without leaving their lane.
//
// What is in here depends on the instruction set that a file is compiled for, so nothing of it may be visible outside.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "a pack takes the first of two neighbours for the lower half of their word"
#endif

#include "cpu/isa_macros.h"
#include "numerics/dtypes.h"

namespace nopt {
namespace {

#if defined(__GNUC__) && defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define NOPT_PACK_AVX512 1
constexpr int kWide = 16;  // lanes of a vector
#elif defined(__GNUC__) && defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define NOPT_PACK_AVX2 1
constexpr int kWide = 8;
#elif defined(__GNUC__)
constexpr int kWide = 4;
#else
constexpr int kWide = 1;
#endif
constexpr int kPack = 2 * kWide;  // elements of a pack

#if defined(__GNUC__)
typedef float Floats __attribute__((vector_size(kWide * sizeof(float))));
typedef uint32_t Words __attribute__((vector_size(kWide * sizeof(uint32_t))));
#else
typedef float Floats;
typedef uint32_t Words;
#endif

struct Pack {
    Floats even;
    Floats odd;
};

// The elements of a pack one by one, the even ones first.
struct alignas(kWide * sizeof(float)) Lanes {
    float value[kPack];
};

NOPT_HD Words words_of(Floats floats) {
    Words words;
    memcpy(&words, &floats, sizeof words);
    return words;
}
NOPT_HD Floats floats_of(Words words) {
    Floats floats;
    memcpy(&floats, &words, sizeof floats);
    return floats;
}
// (A vector at a time: copied as a whole, GCC would keep packs in memory.)
NOPT_HD Lanes lanes_of(const Pack& pack) {
    Lanes lanes;
    memcpy(lanes.value, &pack.even, sizeof pack.even);
    memcpy(lanes.value + kWide, &pack.odd, sizeof pack.odd);
    return lanes;
}
NOPT_HD Pack pack_of(const Lanes& lanes) {
    Pack pack;
    memcpy(&pack.even, lanes.value, sizeof pack.even);
    memcpy(&pack.odd, lanes.value + kWide, sizeof pack.odd);
    return pack;
}

template <class Vector>
NOPT_HD Vector load_vector(const void* from) {
    Vector vector;
    memcpy(&vector, from, sizeof vector);
    return vector;
}
template <class Vector>
NOPT_HD void store_vector(void* to, const Vector& vector) {
    memcpy(to, &vector, sizeof vector);
}

// Numbers that are in every lane. GCC would put those of AVX-512 together from general registers in every round of a
// loop, unless it cannot know what they are (all bfloat16, Adam in cache: 0.46 ns an element in place of 0.40).
NOPT_HD Words in_every_lane(uint32_t number) {
    Words words = Words{} + number;
#if defined(NOPT_PACK_AVX512) && !defined(__clang__)
    __asm__("" : "+v"(words));
#endif
    return words;
}

struct LaneNumbers {
    const Words one = in_every_lane(1);
    const Words below_half = in_every_lane(0x7fff);
    const Words half = in_every_lane(0x8000);
    const Words lower = in_every_lane(0xffff);
    const Words upper = in_every_lane(0xffff0000);
};

// function(a, b) of each element of two packs.
template <class Function>
NOPT_HD Pack map(const Pack& a, const Pack& b, const Function& function) {
    Lanes lanes = lanes_of(a);
    const Lanes others = lanes_of(b);
    NOPT_INDEPENDENT_LANES
    for (int i = 0; i < kPack; ++i) {
        lanes.value[i] = function(lanes.value[i], others.value[i]);
    }
    return pack_of(lanes);
}

// `floats`, but 0 where `probe` is a NaN.
NOPT_HD Floats floats_where_number(Floats probe, Floats floats) {
#if defined(__GNUC__)
    return floats_of(words_of(floats) & (Words)(probe == probe));
#else
    return probe == probe ? floats : 0.0f;
#endif
}

// ---- float32 ----

// Vectors of neighbours: the first half of a pack's elements, and the others.
struct Neighbours {
    Floats first;
    Floats second;
};

#if defined(__clang__)
#define NOPT_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#elif defined(__GNUC__)
typedef int32_t LanePlaces __attribute__((vector_size(kWide * sizeof(int32_t))));
#define NOPT_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, LanePlaces{__VA_ARGS__})
#endif

NOPT_HD Pack pack_of(const Neighbours& n) {
#if defined(NOPT_PACK_AVX512)
    return {NOPT_SHUFFLE(n.first, n.second, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
            NOPT_SHUFFLE(n.first, n.second, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)};
#elif defined(NOPT_PACK_AVX2)
    return {NOPT_SHUFFLE(n.first, n.second, 0, 2, 4, 6, 8, 10, 12, 14),
            NOPT_SHUFFLE(n.first, n.second, 1, 3, 5, 7, 9, 11, 13, 15)};
#elif defined(__GNUC__)
    return {NOPT_SHUFFLE(n.first, n.second, 0, 2, 4, 6), NOPT_SHUFFLE(n.first, n.second, 1, 3, 5, 7)};
#else
    return {n.first, n.second};
#endif
}

NOPT_HD Neighbours neighbours_of(const Pack& p) {
#if defined(NOPT_PACK_AVX512)
    return {NOPT_SHUFFLE(p.even, p.odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
            NOPT_SHUFFLE(p.even, p.odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)};
#elif defined(NOPT_PACK_AVX2)
    return {NOPT_SHUFFLE(p.even, p.odd, 0, 8, 1, 9, 2, 10, 3, 11),
            NOPT_SHUFFLE(p.even, p.odd, 4, 12, 5, 13, 6, 14, 7, 15)};
#elif defined(__GNUC__)
    return {NOPT_SHUFFLE(p.even, p.odd, 0, 4, 1, 5), NOPT_SHUFFLE(p.even, p.odd, 2, 6, 3, 7)};
#else
    return {p.even, p.odd};
#endif
}

NOPT_HD Pack load_floats(const float* from) {
#if defined(NOPT_PACK_AVX2)
    // Halves of vectors are loaded to where a shuffle within them is enough.
    const __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + 8), 1);
    const __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + 4)), _mm_loadu_ps(from + 12), 1);
    return {_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd)};
#else
    return pack_of(Neighbours{load_vector<Floats>(from), load_vector<Floats>(from + kWide)});
#endif
}

NOPT_HD void store_floats(float* to, const Pack& pack) {
#if defined(NOPT_PACK_AVX2)
    const __m256 a = _mm256_unpacklo_ps(pack.even, pack.odd);
    const __m256 b = _mm256_unpackhi_ps(pack.even, pack.odd);
    _mm_storeu_ps(to, _mm256_castps256_ps128(a));
    _mm_storeu_ps(to + 4, _mm256_castps256_ps128(b));
    _mm_storeu_ps(to + 8, _mm256_extractf128_ps(a, 1));
    _mm_storeu_ps(to + 12, _mm256_extractf128_ps(b, 1));
#else
    const Neighbours neighbours = neighbours_of(pack);
    store_vector(to, neighbours.first);
    store_vector(to + kWide, neighbours.second);
#endif
}

// ---- bfloat16, two elements in each word ----

NOPT_HD Pack unpack_bfloat16(Words pairs, const LaneNumbers& n) {
    return {floats_of(pairs << 16), floats_of(pairs & n.upper)};
}

// The upper halves of both.
NOPT_HD Words upper_halves(Words even, Words odd, const LaneNumbers& n) { return even >> 16 | (odd & n.upper); }
NOPT_HD Words lower_halves(Words even, Words odd, const LaneNumbers& n) { return (even & n.lower) | odd << 16; }

NOPT_HD bool any_nan(const Pack& pack) {
#if defined(NOPT_PACK_AVX512)
    return _mm512_cmp_ps_mask(pack.even, pack.odd, _CMP_UNORD_Q) != 0;
#elif defined(NOPT_PACK_AVX2)
    return _mm256_movemask_ps(_mm256_cmp_ps(pack.even, pack.odd, _CMP_UNORD_Q)) != 0;
#elif defined(__GNUC__) && defined(__SSE2__)
    return _mm_movemask_ps(_mm_cmpunord_ps(pack.even, pack.odd)) != 0;
#else
    const Lanes lanes = lanes_of(pack);
    uint32_t found = 0;
    for (int i = 0; i < kPack; ++i) {
        found |= is_nan_bits(bits_of(lanes.value[i])) ? 1u : 0u;
    }
    return found != 0;
#endif
}

#if defined(__GNUC__)
#define NOPT_UNLIKELY(condition) __builtin_expect(condition, false)
#define NOPT_RARE __attribute__((noinline, cold))
#define NOPT_NOT_INLINED __attribute__((noinline))
#else
#define NOPT_UNLIKELY(condition) (condition)
#define NOPT_RARE
#define NOPT_NOT_INLINED
#endif

// `rounded` with what becomes of NaNs, which rounding could carry away.
NOPT_RARE void mend_nans(const Pack& pack, Words& rounded) {
    const Lanes lanes = lanes_of(pack);
    uint16_t halves[kPack];
    memcpy(halves, &rounded, sizeof halves);
    for (int i = 0; i < kWide; ++i) {
        for (int odd = 0; odd < 2; ++odd) {
            const uint32_t bits = bits_of(lanes.value[i + odd * kWide]);
            if (is_nan_bits(bits)) {
                halves[2 * i + odd] = static_cast<uint16_t>(bfloat16_nan(bits));
            }
        }
    }
    memcpy(&rounded, halves, sizeof halves);
}

// The upper halves of `even` and `odd`, which rounding made of the pack.
NOPT_HD Words rounded_bfloat16(const Pack& pack, Words even, Words odd, const LaneNumbers& n) {
    const Words rounded = upper_halves(even, odd, n);
    if (NOPT_UNLIKELY(any_nan(pack))) {
        const Pack own = {pack.even, pack.odd};  // whose address may be taken, as that of packs in registers may not
        Words mended = rounded;
        mend_nans(own, mended);
        return mended;
    }
    return rounded;
}

// The three ways to round are those of numerics/dtypes.h.
NOPT_HD Words round_bfloat16(const Pack& pack, const LaneNumbers& n) {
    const Words even = words_of(pack.even);
    const Words odd = words_of(pack.odd);
    return rounded_bfloat16(pack, even + n.below_half + (even >> 16 & n.one), odd + n.below_half + (odd >> 16 & n.one),
                            n);
}
NOPT_HD Words round_bfloat16_away(const Pack& pack, const LaneNumbers& n) {
    return rounded_bfloat16(pack, words_of(pack.even) + n.half, words_of(pack.odd) + n.half, n);
}
NOPT_HD Words round_bfloat16_stochastic(const Pack& pack, Words random, const LaneNumbers& n) {
    return rounded_bfloat16(pack, words_of(pack.even) + (random & n.lower), words_of(pack.odd) + (random >> 16), n);
}

NOPT_HD Words remainders_of(const Pack& pack, const LaneNumbers& n) {
    return lower_halves(words_of(pack.even), words_of(pack.odd), n);
}
NOPT_HD Pack join_remainders(Words pairs, Words remainders, const LaneNumbers& n) {
    const Words even = (pairs - (remainders >> 15 & n.one)) << 16 | (remainders & n.lower);
    const Words odd = ((pairs & n.upper) - (remainders >> 31 << 16)) | remainders >> 16;
    return {floats_of(even), floats_of(odd)};
}

// ---- float16, two elements in each word ----

#if !defined(NOPT_PACK_AVX512) && !defined(NOPT_PACK_AVX2)

// All ones where a < b.
NOPT_HD Words where_below(Words a, Words b) {
#if defined(__GNUC__)
    return (Words)(a < b);
#else
    return a < b ? ~0u : 0u;
#endif
}
NOPT_HD Words choose(Words where, Words a, Words b) { return (a & where) | (b & ~where); }

// from_float16 and to_float16 of numerics/dtypes.h, in all lanes.
NOPT_HD Floats widen_float16(Words halves) {
    const Words magnitude = (halves & 0x7fffu) << 13;
    const Words normal = magnitude + (112u << 23);
    const Words subnormal = words_of(floats_of(magnitude + (113u << 23)) - float_of(113u << 23));
    const Words special = magnitude + (224u << 23);
    const Words finite = choose(where_below(magnitude, Words{} + (1u << 23)), subnormal, normal);
    return floats_of(choose(where_below(magnitude, Words{} + (31u << 23)), finite, special) | (halves & 0x8000u) << 16);
}
NOPT_HD Words narrow_float16(Floats floats) {
    const Words bits = words_of(floats);
    const Words magnitude = bits & 0x7fffffffu;
    const Words normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    const Words subnormal = words_of(floats_of(magnitude) + 0.5f) - bits_of(0.5f);
    const Words special = 0x7c00u + (where_below(Words{} + 0x7f800000u, magnitude) & 0x200u);
    const Words finite = choose(where_below(magnitude, Words{} + (113u << 23)), subnormal, normal);
    return choose(where_below(magnitude, Words{} + (143u << 23)), finite, special) | (bits >> 16 & 0x8000u);
}

#endif

NOPT_HD Pack load_float16(const uint16_t* from) {
#if defined(NOPT_PACK_AVX512)
    return pack_of(Neighbours{_mm512_maskz_cvtph_ps(0xffff, load_vector<__m256i>(from)),
                              _mm512_maskz_cvtph_ps(0xffff, load_vector<__m256i>(from + kWide))});
#elif defined(NOPT_PACK_AVX2)
    return pack_of(
        Neighbours{_mm256_cvtph_ps(load_vector<__m128i>(from)), _mm256_cvtph_ps(load_vector<__m128i>(from + kWide))});
#else
    const Words pairs = load_vector<Words>(from);
    return {widen_float16(pairs & 0xffffu), widen_float16(pairs >> 16)};
#endif
}

NOPT_HD void store_float16(uint16_t* to, const Pack& pack) {
#if defined(NOPT_PACK_AVX512)
    const Neighbours n = neighbours_of(pack);
    store_vector(to, _mm512_maskz_cvtps_ph(0xffff, n.first, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    store_vector(to + kWide, _mm512_maskz_cvtps_ph(0xffff, n.second, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(NOPT_PACK_AVX2)
    const Neighbours n = neighbours_of(pack);
    store_vector(to, _mm256_cvtps_ph(n.first, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    store_vector(to + kWide, _mm256_cvtps_ph(n.second, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
    const Words even = narrow_float16(pack.even);
    const Words odd = narrow_float16(pack.odd);
    store_vector(to, Words(even | odd << 16));
#endif
}

}  // namespace
}  // namespace nopt
